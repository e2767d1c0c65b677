//! A child process: start, readiness, end.

use std::{
    ffi::OsString,
    fs::{self, File},
    future::Future,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    pin::Pin,
    process::Stdio,
    sync::{
        LazyLock,
        mpsc::{SyncSender, sync_channel},
    },
    time::Duration,
};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tokio::process::Child;

use super::binaries;

/// How long a server may take to answer after its start; long, for a busy machine.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How long it may take to stop before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// Checks whether a server answers.
pub(super) type Probe = Box<dyn Fn() -> Pin<Box<dyn Future<Output = bool> + Send>> + Send + Sync>;

/// How to run a server.
pub(super) struct Command {
    pub name: &'static str,
    pub program: PathBuf,
    pub arguments: Vec<OsString>,
    /// Its directory. The arguments must contain it, so that a left-over process is recognised.
    pub folder: PathBuf,
    /// The user (uid, gid) it runs as, if not the current one.
    pub user: Option<(u32, u32)>,
    /// The signal that stops it without waiting for its clients.
    pub stop_signal: Signal,
    pub probe: Probe,
    /// Whether it is probed regularly while it runs.
    pub asked: bool,
}

pub(super) struct Server {
    command: Command,
    child: Child,
}

impl Server {
    /// Ends a left-over of an earlier run and starts the server. Does not wait until it answers.
    pub async fn start(command: Command) -> anyhow::Result<Self> {
        end_leftover(&command).await?;
        let child = spawn(&command)?;
        Ok(Self { command, child })
    }

    /// Whether it still works. Only NATS is probed: it disables JetStream when its disk is full, and never
    /// enables it again.
    pub async fn works(&self) -> bool {
        !self.command.asked || (self.command.probe)().await
    }

    /// Ends the server if it still runs, starts it again and waits until it answers.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        if !self.has_ended() {
            self.stop().await;
        }
        end_leftover(&self.command).await?;
        self.child = spawn(&self.command)?;
        self.ready().await
    }

    pub async fn ready(&mut self) -> anyhow::Result<()> {
        let deadline = tokio::time::Instant::now() + START_LIMIT;
        while !(self.command.probe)().await {
            if let Some(status) = self.child.try_wait().context("check whether a server runs")? {
                bail!("{} ended during its start ({status}):\n{}", self.command.name, self.log_tail());
            }
            if tokio::time::Instant::now() > deadline {
                bail!("{} did not answer within {START_LIMIT:?}:\n{}", self.command.name, self.log_tail());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tracing::debug!(server = self.command.name, "a server answers");
        Ok(())
    }

    pub fn name(&self) -> &'static str {
        self.command.name
    }

    /// Its process id, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// Asks it to stop; kills it if that takes too long.
    pub async fn stop(&mut self) {
        if let Some(pid) = self.child.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
            kill_process(pid, self.command.stop_signal).ok();
        }
        if tokio::time::timeout(STOP_LIMIT, self.child.wait()).await.is_err() {
            tracing::warn!(server = self.command.name, "a server did not stop in time; killing it");
            self.child.kill().await.ok();
        }
        fs::remove_file(pid_file(&self.command)).ok();
    }

    /// The end of its log, safe for a terminal.
    pub fn log_tail(&self) -> String {
        let read = || -> std::io::Result<String> {
            let mut file = File::open(log_file(&self.command))?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(2000)))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).lines().map(boot::safe).collect::<Vec<_>>().join("\n"))
        };
        read().unwrap_or_else(|error| format!("(no log: {error})"))
    }
}

fn log_file(command: &Command) -> PathBuf {
    command.folder.with_extension("log")
}

fn pid_file(command: &Command) -> PathBuf {
    command.folder.with_extension("pid")
}

/// Starts the server in a process group of its own (this process handles Ctrl-C), and so that it gets a
/// signal when this process ends in any way. `setpriv` does the latter, because Rust could only do it with
/// unsafe code.
fn spawn(command: &Command) -> anyhow::Result<Child> {
    let log =
        File::create(log_file(command)).with_context(|| format!("create {}", log_file(command).display()))?;
    let mut process = match binaries::setpriv() {
        Some(setpriv) => {
            let mut process = tokio::process::Command::new(setpriv);
            process.args(["--pdeathsig", if command.stop_signal == Signal::INT { "INT" } else { "TERM" }]);
            if let Some((uid, gid)) = command.user {
                process.args([
                    format!("--reuid={uid}"),
                    format!("--regid={gid}"),
                    "--clear-groups".to_owned(),
                ]);
            }
            process.arg("--").arg(&command.program);
            process
        }
        None => {
            let mut process = tokio::process::Command::new(&command.program);
            if let Some((uid, gid)) = command.user {
                process.uid(uid).gid(gid);
            }
            process
        }
    };
    let error_log = log.try_clone().context("share a log file")?;
    process
        .args(&command.arguments)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(error_log)
        .process_group(0)
        .kill_on_drop(true);
    process.env_clear().envs(std::env::vars_os().filter(|(name, _)| {
        ["PATH", "HOME", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH"].iter().any(|keep| name == keep)
    }));
    process.current_dir(&command.folder);
    let child = on_lasting_thread(move || process.spawn())
        .with_context(|| format!("start {}", command.program.display()))?;
    if let Some(id) = child.id() {
        fs::write(pid_file(command), id.to_string()).context("write a pid file")?;
    }
    Ok(child)
}

/// Runs `work` on a thread that lives as long as this process. A child gets its signal when the *thread* that
/// started it ends. A tokio worker that ever blocked in place ends after ten idle seconds.
fn on_lasting_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    type Work = Box<dyn FnOnce() + Send>;
    static THREAD: LazyLock<SyncSender<Work>> = LazyLock::new(|| {
        let (sender, receiver) = sync_channel::<Work>(1);
        std::thread::spawn(move || receiver.iter().for_each(|work| work()));
        sender
    });
    let (done, result) = sync_channel(1);
    let runtime = tokio::runtime::Handle::current();
    let work = move || {
        let _entered = runtime.enter();
        done.send(work()).ok();
    };
    THREAD.send(Box::new(work)).expect("the thread ends only with the process");
    result.recv().expect("the thread answers all that it is given")
}

/// Ends a server that a killed run left behind: the process of the pid file, if it is really ours.
async fn end_leftover(command: &Command) -> anyhow::Result<()> {
    let pid = fs::read_to_string(pid_file(command))
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .and_then(Pid::from_raw);
    let Some(pid) = pid.filter(|&pid| is_ours(pid, &command.folder)) else { return Ok(()) };
    tracing::warn!(server = command.name, "ending a server that an earlier run left behind");
    kill_process(pid, command.stop_signal).ok();
    let deadline = tokio::time::Instant::now() + STOP_LIMIT;
    while test_kill_process(pid).is_ok() && is_ours(pid, &command.folder) {
        if tokio::time::Instant::now() > deadline {
            kill_process(pid, Signal::KILL).with_context(|| {
                format!("end the left-over {} (process {})", command.name, pid.as_raw_nonzero())
            })?;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Whether the command line of a running process contains our directory.
fn is_ours(pid: Pid, folder: &Path) -> bool {
    let Ok(line) = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())) else { return false };
    let folder = folder.as_os_str().as_encoded_bytes();
    line.windows(folder.len()).any(|part| part == folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_outlives_the_thread_that_started_it() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("server");
        fs::create_dir(&folder).unwrap();
        let command = Command {
            name: "a server",
            program: "/bin/sh".into(),
            arguments: ["-c", "echo ready; exec sleep 60"].map(OsString::from).to_vec(),
            folder,
            user: None,
            stop_signal: Signal::TERM,
            probe: Box::new(|| Box::pin(async { true })),
            asked: false,
        };
        let log = log_file(&command);
        let runtime = tokio::runtime::Handle::current();
        let start = move || {
            let _entered = runtime.enter();
            let child = spawn(&command).unwrap();
            while fs::read_to_string(&log).unwrap() != "ready\n" {
                std::thread::yield_now();
            }
            child
        };
        let mut child = std::thread::spawn(start).join().unwrap();
        // A signal would arrive when the thread ends, not later.
        let ended = tokio::time::timeout(Duration::from_millis(300), child.wait()).await;
        assert!(ended.is_err(), "it ended: {ended:?}");
        child.kill().await.unwrap();
    }
}
