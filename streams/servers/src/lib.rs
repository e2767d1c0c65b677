//! Private NATS, Postgres and Redis servers, and a honeypot: child processes on free loopback ports, with
//! their data in one directory.
//!
//! **Invariant**: no server is left running. Each one ends with this process (where the system supports
//! that), and a start first ends servers that a killed run left behind.

mod binaries;
mod cowrie;
mod directory;
mod honeypot;
mod nats;
mod ports;
mod postgres;
mod process;
mod redis;
mod room;
#[cfg(feature = "testing")]
pub mod testing;
mod users;

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use boot::CancellationToken;

pub use cowrie::Cowrie;
pub use directory::DataDir;
pub use honeypot::Honeypot;
use process::Server;

/// Pause before a server that ended is started again.
const RESTART_PAUSE: Duration = Duration::from_millis(500);
/// Interval of the checks on servers that may stop working while they run.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// A server that has not worked for this long is restarted.
const SICK_LIMIT: Duration = Duration::from_secs(20);
/// Supervision fails if a server ends more often than this within a minute.
const MOST_RESTARTS: usize = 5;

/// The servers to start: those whose URL was not given.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    pub nats: bool,
    pub postgres: bool,
    pub redis: bool,
}

/// The URLs of the started servers.
#[derive(Clone, Debug, Default)]
pub struct Urls {
    /// `nats://…`
    pub nats: Option<String>,
    /// `postgres://…`
    pub database: Option<String>,
    /// `redis://…`
    pub redis: Option<String>,
}

pub struct Servers {
    pub urls: Urls,
    folder: PathBuf,
    running: Vec<Server>,
}

impl Servers {
    /// Starts the wanted servers and waits until each answers (at most 60 s).
    pub async fn start(data: &DataDir, wanted: Wanted) -> anyhow::Result<Self> {
        let mut servers = Self { urls: Urls::default(), folder: data.path().to_owned(), running: Vec::new() };
        let started = servers.start_all(data, wanted).await;
        if started.is_err() {
            servers.stop().await;
        }
        started.map(|()| servers)
    }

    async fn start_all(&mut self, data: &DataDir, wanted: Wanted) -> anyhow::Result<()> {
        if wanted.postgres {
            let (command, url) = postgres::prepare(data).await?;
            self.urls.database = Some(url);
            self.running.push(Server::start(command).await?);
        }
        if wanted.nats {
            let (command, url) = nats::prepare(data)?;
            self.urls.nats = Some(url);
            self.running.push(Server::start(command).await?);
        }
        if wanted.redis {
            let (command, url) = redis::prepare(data)?;
            self.urls.redis = Some(url);
            self.running.push(Server::start(command).await?);
        }
        for server in &mut self.running {
            server.ready().await?;
        }
        Ok(())
    }

    /// Also starts a honeypot, and waits until it listens.
    pub async fn add_honeypot(&mut self, data: &DataDir, cowrie: &Cowrie) -> anyhow::Result<Honeypot> {
        let (command, honeypot) = honeypot::prepare(data, cowrie).await?;
        let mut server = Server::start(command).await?;
        let ready = server.ready().await;
        self.running.push(server);
        ready.map(|()| honeypot)
    }

    /// Supervises the servers until stop. A server that ends or no longer works is started again on its port.
    /// While the disk is full, this waits. Fails when a server keeps ending although the disk has room.
    pub async fn supervise(&mut self, stop: &CancellationToken) -> anyhow::Result<()> {
        let mut ends = Vec::new();
        loop {
            let trouble = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                trouble = first_trouble(&mut self.running) => trouble,
            };
            let full = !room::is_there(&self.folder);
            let server = &mut self.running[trouble];
            ends.retain(|(_, at): &(usize, Instant)| at.elapsed() < Duration::from_secs(60));
            if full {
                ends.clear();
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return Ok(()),
                    () = room::wait_for(&self.folder, server.name()) => (),
                }
            }
            ends.push((trouble, Instant::now()));
            if ends.iter().filter(|(which, _)| *which == trouble).count() > MOST_RESTARTS {
                anyhow::bail!(
                    "{} ended more than {MOST_RESTARTS} times within a minute:\n{}",
                    server.name(),
                    server.log_tail()
                );
            }
            tracing::warn!(server = server.name(), "a server ended or no longer works; starting it again");
            tokio::time::sleep(RESTART_PAUSE).await;
            match server.restart().await {
                Err(error) if room::is_there(&self.folder) => return Err(error),
                Err(error) => {
                    tracing::warn!(error = format!("{error:#}"), "could not start a server; will retry")
                }
                Ok(()) => (),
            }
        }
    }

    /// Names and process ids of the running servers.
    pub fn processes(&self) -> Vec<(&'static str, u32)> {
        self.running.iter().filter_map(|server| Some((server.name(), server.id()?))).collect()
    }

    /// Stops all servers, the database last. A server that does not stop in time is killed.
    pub async fn stop(&mut self) {
        for server in self.running.iter_mut().rev() {
            server.stop().await;
        }
        self.running.clear();
    }
}

/// Waits for the first server that ends, or that runs but has not worked for `SICK_LIMIT`; returns its index.
async fn first_trouble(running: &mut [Server]) -> usize {
    let mut looked = Instant::now();
    let mut since = vec![None; running.len()];
    loop {
        for (index, server) in running.iter_mut().enumerate() {
            if server.has_ended() {
                return index;
            }
        }
        if looked.elapsed() >= LOOK_INTERVAL {
            for (server, since) in running.iter().zip(&mut since) {
                *since = if server.works().await { None } else { since.or_else(|| Some(Instant::now())) };
            }
            looked = Instant::now();
        }
        if let Some(index) =
            since.iter().position(|since| since.is_some_and(|since| since.elapsed() >= SICK_LIMIT))
        {
            return index;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Whether other users may enter a directory and all its parents.
pub(crate) fn passable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.ancestors().all(|parent| {
        parent.as_os_str().is_empty()
            || std::fs::metadata(parent).is_ok_and(|meta| meta.permissions().mode() & 0o001 != 0)
    })
}
