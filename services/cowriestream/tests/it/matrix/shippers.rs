//! Our loader, and other shippers for comparison.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use super::cases::path;
use crate::harness::{Hub, Process, eventually};

/// Another shipper counts as done when it has delivered nothing new for this long.
const QUIET: Duration = Duration::from_secs(12);

/// The lines that arrived.
pub struct Delivered {
    pub lost: u64,
    pub doubled: u64,
    pub dead: u64,
}

pub enum Shipper<'a> {
    /// `cowriestream loader`, NATS, a processor, Postgres.
    Ours(&'a Hub),
    /// rsyslog's `imfile` into a file.
    Rsyslog,
}

/// The shipper that the environment names; by default ours.
pub fn under_test(hub: &Hub) -> Shipper<'_> {
    match std::env::var("MATRIX_AGAINST").as_deref() {
        Ok("rsyslog") => Shipper::Rsyslog,
        Ok(other) => panic!("MATRIX_AGAINST={other}: only rsyslog is known"),
        Err(_) => Shipper::Ours(hub),
    }
}

impl Shipper<'_> {
    pub fn ours(&self) -> bool {
        matches!(self, Self::Ours(_))
    }

    pub fn version(&self) -> String {
        match self {
            Self::Ours(_) => format!("cowriestream {}", env!("CARGO_PKG_VERSION")),
            Self::Rsyslog => {
                let out = Command::new("rsyslogd").arg("-v").env("PATH", path()).output().unwrap();
                String::from_utf8_lossy(&out.stdout).split_whitespace().take(2).collect::<Vec<_>>().join(" ")
            }
        }
    }

    /// A host with one log.
    pub fn site<'a>(&'a self, sensor: &str, directory: &Path) -> Site<'a> {
        Site { shipper: self, sensor: sensor.to_owned(), directory: directory.to_owned() }
    }
}

pub struct Site<'a> {
    shipper: &'a Shipper<'a>,
    sensor: String,
    directory: PathBuf,
}

impl Site<'_> {
    /// Starts the shipper; dropping it is `kill -9`.
    pub fn start(&mut self) -> Process {
        let errors = self.directory.join("shipper.err");
        let log = self.directory.join("cowrie.json");
        match self.shipper {
            Shipper::Ours(hub) => {
                let state = self.directory.join("state");
                let arguments = [
                    "loader",
                    "--sensor",
                    &self.sensor,
                    "--log",
                    log.to_str().unwrap(),
                    "--state-dir",
                    state.to_str().unwrap(),
                ];
                Process::start(
                    hub.command(&arguments).args(["--poll-ms", "100", "--close-after-seconds", "1"]),
                    &errors,
                )
            }
            Shipper::Rsyslog => {
                let (dir, config) = (self.directory.display(), self.directory.join("rsyslog.conf"));
                let text = format!(
                    r#"global(workDirectory="{dir}/rsyslog" maxMessageSize="1m" parser.escapeControlCharactersOnReceive="off")
module(load="imfile" mode="inotify")
template(name="raw" type="string" string="%msg%\n")
input(type="imfile" File="{dir}/cowrie.json" Tag="c" Ruleset="out" reopenOnTruncate="on" PersistStateInterval="1" freshStartTail="off")
ruleset(name="out") {{ action(type="omfile" file="{dir}/out" template="raw" asyncWriting="off" flushOnTXEnd="on") }}
"#
                );
                fs::create_dir_all(self.directory.join("rsyslog")).unwrap();
                fs::write(&config, text).unwrap();
                let pid = self.directory.join("rsyslog.pid");
                fs::remove_file(&pid).ok();
                let mut command = Command::new("rsyslogd");
                Process::start(
                    command.arg("-n").arg("-f").arg(config).arg("-i").arg(pid).env("PATH", path()),
                    &errors,
                )
            }
        }
    }

    /// Waits until all of these are delivered; a shipper that lost some is not waited for.
    pub fn wait_for(&self, written: &[String]) {
        match self.shipper {
            Shipper::Ours(_) => eventually(&format!("all is delivered of {}", self.sensor), || {
                self.lines().len() >= written.len()
            }),
            Shipper::Rsyslog => self.quiet(|| self.lines().len() >= written.len()),
        }
    }

    /// The lines that arrived in the end.
    pub fn settle(&self, written: &[String], dead_letters: u64) -> Delivered {
        let expected: BTreeSet<_> = written.iter().map(String::as_str).collect();
        let all = |lines: &BTreeMap<String, u64>| expected.iter().all(|line| lines.contains_key(*line));
        match self.shipper {
            // Dead letters may arrive last.
            Shipper::Ours(_) => self.quiet(|| all(&self.lines()) && self.dead() >= dead_letters),
            Shipper::Rsyslog => self.quiet(|| all(&self.lines())),
        }
        let lines = self.lines();
        let lost = expected.iter().filter(|line| !lines.contains_key(**line)).count() as u64;
        if lost > 0 && self.shipper.ours() {
            let text = fs::read_to_string(self.directory.join("shipper.err")).unwrap_or_default();
            let missing: Vec<_> =
                expected.iter().filter(|line| !lines.contains_key(**line)).take(3).collect();
            println!("{}: lost {lost}, e.g. {missing:?}\n{text}", self.sensor);
        }
        if let Shipper::Ours(hub) = self.shipper
            && self.dead() != dead_letters
        {
            let dead = hub.psql(&format!("select reason, detail, length, source_path, source_offset from dead_letters where sensor = '{}'", self.sensor));
            println!("{}: other dead letters than {dead_letters}:\n{dead}", self.sensor);
        }
        // Count repeated lines, and lines that were never written.
        let doubled = lines
            .iter()
            .map(|(line, times)| if expected.contains(line.as_str()) { times - 1 } else { *times })
            .sum();
        Delivered { lost, doubled, dead: self.dead() }
    }

    /// Asserts that `verify` agrees with the existing files.
    pub fn assert_verified(&self) {
        let Shipper::Ours(hub) = self.shipper else { return };
        let log = self.directory.join("cowrie.json");
        let out = hub
            .command(&["verify", "--sensor", &self.sensor, "--log", log.to_str().unwrap()])
            .output()
            .unwrap();
        assert!(
            out.status.success(),
            "{}: {}{}",
            self.sensor,
            String::from_utf8_lossy(&out.stdout),
            String::from_utf8_lossy(&out.stderr)
        );
    }

    /// Waits for a state. Gives up when nothing new has arrived for a while.
    fn quiet(&self, reached: impl Fn() -> bool) {
        let (mut seen, mut since) = (0, Instant::now());
        while !reached() && since.elapsed() < QUIET {
            std::thread::sleep(Duration::from_millis(250));
            let now = self.lines().values().sum::<u64>() + self.dead();
            if now != seen {
                (seen, since) = (now, Instant::now());
            }
        }
    }

    fn dead(&self) -> u64 {
        match self.shipper {
            Shipper::Ours(hub) => hub
                .count(&format!("select count(*) from dead_letters where sensor = '{}'", self.sensor))
                as u64,
            Shipper::Rsyslog => 0,
        }
    }

    /// The lines that arrived, with their number; in Postgres, the number that the session row counts.
    fn lines(&self) -> BTreeMap<String, u64> {
        let text = match self.shipper {
            Shipper::Ours(hub) => hub.psql(&format!(
                "select coalesce(convert_from(line, 'UTF8'), format('{{\"eventid\":%s,\"input\":%s,\"sensor\":%s,\"session\":%s,\"src_ip\":%s,\"timestamp\":%s}}',
                    payload->'eventid', payload->'input', payload->'sensor', payload->'session', payload->'src_ip', payload->'timestamp'))
                from events where sensor = '{}'",
                self.sensor
            )),
            Shipper::Rsyslog => {
                let bytes = fs::read(self.directory.join("out")).unwrap_or_default();
                String::from_utf8_lossy(&bytes).into_owned()
            }
        };
        let mut lines = BTreeMap::new();
        for line in text.lines() {
            *lines.entry(line.trim_start_matches(['\0', ' ']).to_owned()).or_default() += 1;
        }
        if let Shipper::Ours(hub) = self.shipper {
            // Subtract what a row counted more than once.
            let counted = hub.count(&format!(
                "select coalesce(sum(event_count), 0) from sessions where sensor = '{}'",
                self.sensor
            ));
            let extra = counted as u64 - lines.len().min(counted as usize) as u64;
            if extra > 0 {
                lines.insert("counted twice".to_owned(), extra);
            }
        }
        lines
    }
}
