//! The host of a sensor: its log, a writer that behaves like Cowrie, and the loader.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{Seek, SeekFrom, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use bus::Bus;

use crate::{
    broker::{Broker, topology},
    processor::{Postgres, Processor},
};

/// How long to wait for a state on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Site {
    pub directory: tempfile::TempDir,
    pub broker: Broker,
    pub bus: Bus,
    pub processor: Processor,
    next: usize,
    /// Every event written so far.
    pub written: BTreeSet<String>,
}

impl Site {
    pub async fn new() -> Self {
        let broker = Broker::start().await;
        let bus = broker.connect().await;
        bus.provision(&topology()).await.unwrap();
        let processor = Processor::start(&bus);
        Self {
            directory: tempfile::tempdir().unwrap(),
            broker,
            bus,
            processor,
            next: 0,
            written: BTreeSet::new(),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The next `count` events, as lines of a log.
    pub fn events(&mut self, count: usize) -> String {
        let mut text = String::new();
        for _ in 0..count {
            self.next += 1;
            let line = format!(
                r#"{{"eventid":"cowrie.command.input","session":"s{0}","timestamp":"2026-01-01T00:00:00.000000Z","input":"echo {0}"}}"#,
                self.next
            );
            text.push_str(&line);
            text.push('\n');
            self.written.insert(line);
        }
        text
    }

    /// Starts `cowrie-loader` on `cowrie.json`.
    pub fn loader(&self) -> Loader {
        self.loader_with(&[])
    }

    pub fn loader_with(&self, more: &[&str]) -> Loader {
        self.loader_limited("", more)
    }

    /// Starts the loader after a shell command such as `ulimit -n 64`.
    pub fn loader_limited(&self, limit: &str, more: &[&str]) -> Loader {
        let log = self.path("cowrie.json");
        let mut arguments = vec!["--poll-ms", "100"];
        if !more.contains(&"--log") {
            arguments.extend(["--log", log.to_str().unwrap()]);
        }
        arguments.extend(more);
        let output = self.path(&format!("loader-{}", fs::read_dir(self.directory.path()).unwrap().count()));
        Loader::start(limit, &arguments, &self.path("state"), &self.broker.url(), output)
    }

    /// Waits until every event written is committed once, and nothing else is.
    pub async fn until_all_committed(&self, loader: &Loader) {
        self.until("every event is committed", loader, |postgres| {
            self.written.len() == postgres.events.len()
        })
        .await;
        let postgres = self.processor.postgres();
        assert!(self.written.iter().eq(postgres.events.keys()), "other events than were written");
    }

    /// Waits until these files are committed up to these offsets according to the checkpoint.
    pub async fn until_checkpoint(&self, loader: &Loader, expected: &[(&str, u64)]) {
        let mut expected: Vec<_> =
            expected.iter().map(|&(name, position)| (name.to_owned(), position)).collect();
        expected.sort();
        self.until(&format!("the checkpoint is {expected:?}"), loader, |_| self.checkpoint() == expected)
            .await;
    }

    /// Name and position of each file in the checkpoint.
    pub fn checkpoint(&self) -> Vec<(String, u64)> {
        let Ok(text) = fs::read(self.path("state/s.json")) else { return Vec::new() };
        let json: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let name = |file: &serde_json::Value| {
            Path::new(file["path"].as_str().unwrap()).file_name().unwrap().to_str().unwrap().to_owned()
        };
        let mut files: Vec<_> = json["files"]
            .as_array()
            .unwrap()
            .iter()
            .map(|file| (name(file), file["position"].as_u64().unwrap()))
            .collect();
        files.sort();
        files
    }

    /// Waits until a state is reached.
    pub async fn until(&self, what: &str, loader: &Loader, reached: impl Fn(&Postgres) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !reached(&self.processor.postgres()) {
            if Instant::now() > deadline {
                let postgres = self.processor.postgres();
                let state =
                    (postgres.events.len(), postgres.deliveries(), postgres.reasons(), &postgres.committed);
                panic!(
                    "not reached: {what}; written {}, committed {state:?}, checkpoint {:?}\n{}",
                    self.written.len(),
                    self.checkpoint(),
                    loader.log()
                );
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Writes as Cowrie does: at its own offset, without `O_APPEND`, unbuffered.
pub struct Writer {
    file: File,
    at: u64,
}

impl Writer {
    pub fn open(path: &Path) -> Self {
        let mut file = File::options().create(true).truncate(false).write(true).open(path).unwrap();
        let at = file.seek(SeekFrom::End(0)).unwrap();
        Self { file, at }
    }

    pub fn write(&mut self, text: impl AsRef<[u8]>) {
        self.file.write_all_at(text.as_ref(), self.at).unwrap();
        self.at += text.as_ref().len() as u64;
    }

    /// Skips bytes, which leaves a hole.
    pub fn skip(&mut self, bytes: u64) {
        self.at += bytes;
    }

    /// Extends the file to its offset, including skipped bytes.
    pub fn end(&mut self) {
        self.file.set_len(self.at).unwrap();
    }

    /// A restart in plain mode: the file is truncated, and written from its start.
    pub fn start_over(&mut self) {
        self.file.set_len(0).unwrap();
        self.at = 0;
    }

    pub fn size(&self) -> u64 {
        self.at
    }
}

/// A `gzip` archive with one member per part.
pub fn gzip(parts: &[&str]) -> Vec<u8> {
    let member = |part: &&str| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(part.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    parts.iter().flat_map(member).collect()
}

/// A running `cowrie-loader`.
pub struct Loader {
    child: Child,
    output: PathBuf,
}

impl Loader {
    fn start(limit: &str, arguments: &[&str], state: &Path, url: &str, output: PathBuf) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{limit}\nexec \"$@\""), "sh", env!("CARGO_BIN_EXE_cowrie-loader")]);
        if !arguments.contains(&"--health-listen") {
            command.args(["--health-listen", "127.0.0.1:0"]);
        }
        command.args(["--sensor", "s", "--log-level", "info,loader=debug", "--nats-url", url, "--state-dir"]);
        command.arg(state).args(arguments);
        let child = command
            .stdout(File::create(output.with_extension("out")).unwrap())
            .stderr(File::create(output.with_extension("log")).unwrap());
        Self { child: child.stdin(Stdio::null()).spawn().unwrap(), output }
    }

    /// The log of the loader.
    pub fn log(&self) -> String {
        fs::read_to_string(self.output.with_extension("log")).unwrap_or_default()
    }

    /// Sends SIGTERM, and waits for the exit status.
    pub async fn stop(&mut self) -> ExitStatus {
        let killed = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(killed.success());
        self.end().await
    }

    /// Kills it with SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until it ends by itself.
    pub async fn end(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the loader does not end\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The summary that `--once` prints.
    pub async fn summary(&mut self) -> serde_json::Value {
        let status = self.end().await;
        assert!(status.success(), "{}", self.log());
        self.printed()
    }

    /// The summary of a `--once` that fails because it could not read some files whole.
    pub async fn summary_of_failure(&mut self) -> serde_json::Value {
        let status = self.end().await;
        assert!(!status.success(), "{}", self.log());
        self.printed()
    }

    fn printed(&self) -> serde_json::Value {
        serde_json::from_slice(&fs::read(self.output.with_extension("out")).unwrap()).unwrap()
    }

    /// Its peak memory in bytes.
    pub fn peak_memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            self.kill();
        }
    }
}
