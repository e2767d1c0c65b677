//! Real servers and real processes in a directory that goes away.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use servers::testing::Backend;
pub use servers::testing::{directory, eventually, psql};

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_cowriestream");

/// A key that may do everything, in the database of every [`Hub`].
pub const KEY: &str = "csk_TestAdm1_0123456789abcdefghijklmnopqrstuv3Z65Aq";

/// NATS and Postgres that can be stopped, damaged and started again on the same ports.
pub struct Hub {
    pub dir: tempfile::TempDir,
    nats: Backend,
    postgres: Backend,
    pub nats_url: String,
    pub database_url: String,
}

impl Hub {
    pub async fn start() -> Self {
        let dir = directory();
        let nats = Backend::nats(&dir.path().join("n")).await;
        let postgres = Backend::postgres(&dir.path().join("p")).await;
        let (nats_url, database_url) = (nats.url(), postgres.url());
        let hub = Self { dir, nats, postgres, nats_url, database_url };
        hub.run(&["migrate"]);
        hub.run(&["provision"]);
        hub.psql(&format!(
            "insert into api_keys (key_id, name, hash, scopes) values ('TestAdm1', 'test', sha256('{KEY}'::bytea), '{{admin}}')"
        ));
        hub
    }

    /// Stops NATS, lets `change` do something to its store, and starts it again.
    pub async fn rob_nats(&mut self, change: impl FnOnce(&Path)) {
        self.nats.restart(|data| change(&data.join("nats/jetstream"))).await;
    }

    /// Stops Postgres, lets `change` do something to its files, and starts it again.
    pub async fn rob_postgres(&mut self, change: impl FnOnce(&Path)) {
        self.postgres.restart(|data| change(&data.join("postgres"))).await;
    }

    /// A command with this hub's addresses.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(arguments).env("NATS_URL", &self.nats_url).env("DATABASE_URL", &self.database_url);
        command
            .env("API_KEY", KEY)
            .env("COWRIESTREAM_HEALTH_LISTEN", "127.0.0.1:0")
            .env("COWRIESTREAM_LOG", "info")
            .current_dir(self.dir.path());
        command
    }

    /// Runs a command to its end; it must succeed.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let out = self.command(arguments).output().unwrap();
        assert!(
            out.status.success(),
            "{arguments:?}: {}{}",
            String::from_utf8_lossy(&out.stdout),
            String::from_utf8_lossy(&out.stderr)
        );
        out
    }

    pub fn processor(&self, settings: &[(&str, &str)]) -> Process {
        Process::start(
            self.command(&["processor"]).envs(settings.iter().copied()),
            &self.dir.path().join("processor.err"),
        )
    }

    pub fn loader(&self, log: &Path) -> Process {
        let state = self.dir.path().join("state");
        let arguments = [
            "loader",
            "--sensor",
            "s",
            "--log",
            log.to_str().unwrap(),
            "--state-dir",
            state.to_str().unwrap(),
        ];
        Process::start(&mut self.command(&arguments), &self.dir.path().join("loader.err"))
    }

    pub fn psql(&self, sql: &str) -> String {
        psql(&self.database_url, sql)
    }

    pub fn count(&self, sql: &str) -> i64 {
        self.psql(sql).trim().parse().unwrap()
    }

    pub fn events(&self) -> i64 {
        self.count("select count(*) from events")
    }

    /// Waits until that many events are stored.
    pub fn wait_for_events(&self, events: i64) {
        eventually(&format!("{events} events"), || {
            let there = self.events();
            assert!(there <= events, "{there} events, more than the {events} that were written");
            there == events
        });
    }

    /// Waits until every byte of the only log is receipted.
    pub fn wait_for_receipts(&self, log: &Path) {
        let whole = format!(
            "select count(*) from loader_files where committed = '{{[0,{})}}'",
            fs::metadata(log).unwrap().len()
        );
        eventually("all bytes are receipted", || self.count(&whole) == 1);
    }

    /// Waits until `verify` finds nothing wrong.
    pub fn assert_verified(&self, log: &Path) {
        let out = self.run(&["verify", "--sensor", "s", "--log", log.to_str().unwrap()]);
        let text = String::from_utf8_lossy(&out.stdout);
        assert!(text.contains("clean") && !text.contains("not verified"), "{text}");
    }

    /// Dumps the rows once the sweep has processed every session.
    pub fn dump(&self) -> String {
        eventually("idle sessions are closed", || {
            self.count(
                "select count(*) from sessions s join sensors n using (sensor) where not s.closed and not s.idle and (s.last_event_at is null or s.last_event_at < n.last_event_at - interval '1 hour')",
            ) == 0
        });
        dump(&self.database_url)
    }

    /// The rows that the same log gives without disturbances.
    pub fn undisturbed(&self, log: &Path) -> String {
        let data = self.dir.path().join("undisturbed");
        let arguments = [
            "up",
            "--once",
            "--sensor",
            "s",
            "--log",
            log.to_str().unwrap(),
            "--data-dir",
            data.to_str().unwrap(),
        ];
        let out = Command::new(PROGRAM).args(arguments).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        with_database(&data, dump)
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for name in ["loader.err", "processor.err"] {
                let text = fs::read_to_string(self.dir.path().join(name)).unwrap_or_default();
                eprintln!(
                    "--- {name}\n{}",
                    text.lines()
                        .rev()
                        .take(30)
                        .collect::<Vec<_>>()
                        .into_iter()
                        .rev()
                        .collect::<Vec<_>>()
                        .join("\n")
                );
            }
        }
    }
}

/// A role in a process of its own, which is killed when dropped.
pub struct Process(Child);

impl Process {
    pub fn start(command: &mut Command, errors: &Path) -> Self {
        let errors = OpenOptions::new().create(true).append(true).open(errors).unwrap();
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors).spawn().unwrap())
    }

    /// Starts with standard output and standard error in files.
    pub fn start_writing(command: &mut Command, output: &Path, errors: &Path) -> Self {
        let (output, errors) = (fs::File::create(output).unwrap(), fs::File::create(errors).unwrap());
        Self(command.stdin(Stdio::null()).stdout(output).stderr(errors).spawn().unwrap())
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.0.id().cast_signed()).unwrap(), signal).unwrap();
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Hundredths of a second of CPU time that it has used.
    pub fn cpu_ticks(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        let fields: Vec<_> = stat[stat.rfind(')').unwrap()..].split_whitespace().collect();
        fields[12].parse::<u64>().unwrap() + fields[13].parse::<u64>().unwrap()
    }

    pub fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }

    /// Waits for its end. Returns whether it succeeded.
    pub fn end(&mut self) -> bool {
        self.code() == Some(0)
    }

    /// Waits for its end. Returns its exit code, or `None` if a signal ended it.
    pub fn code(&mut self) -> Option<i32> {
        let mut status = None;
        eventually("the process ends", || {
            status = self.0.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap().code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Dumps every row that the logs determine, in order, without `ingested_at` and row numbers.
pub fn dump(url: &str) -> String {
    [
        "select event_id, sensor, session, eventid, ts, src_ip, payload, line, length from events order by event_id",
        "select * from sessions order by sensor, session",
        "select * from sensors order by sensor",
        "select * from commands order by event_id",
        "select * from login_attempts order by event_id",
        "select * from downloads order by event_id",
        "select * from forwards order by event_id",
        "select * from client_fingerprints order by event_id",
        "select * from session_features order by sensor, session",
        "select * from command_sequences where sequence in (select sequence from session_features) order by sequence",
        "select dead_id, sensor, reason, detail, body, length, hash from dead_letters order by dead_id",
    ]
    .map(|sql| psql(url, sql))
    .join("\n")
}

/// Where the events were read, and which bytes are committed.
pub fn provenance(url: &str) -> String {
    [
        "select event_id, source_file, source_offset from events order by 1",
        "select sensor, file_id, path, committed from loader_files order by 1, 2",
    ]
    .map(|sql| psql(url, sql))
    .join("\n")
}

/// Starts `up` on a data directory, and runs `work` on its database.
pub fn with_database<T>(data: &Path, work: impl FnOnce(&str) -> T) -> T {
    fs::remove_file(data.join("env")).ok();
    let up = Process::start(
        Command::new(PROGRAM).args(["up", "--data-dir", data.to_str().unwrap()]),
        &data.join("up.err"),
    );
    eventually("up is ready", || data.join("env").exists());
    let done = work(&env_of(data, "DATABASE_URL"));
    let mut up = up;
    up.signal(Signal::TERM);
    assert!(up.end());
    done
}

/// A value of `DIR/env`.
pub fn env_of(data: &Path, name: &str) -> String {
    let text = fs::read_to_string(data.join("env")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name}='")));
    line.unwrap().trim_end_matches('\'').to_owned()
}

/// Writes a log like Cowrie: interleaved sessions in order of time, with Cowrie's occasional defects.
pub struct Writer {
    pub path: PathBuf,
    written: u64,
    /// Events written.
    pub events: i64,
}

impl Writer {
    pub fn new(path: PathBuf) -> Self {
        Self { path, written: 0, events: 0 }
    }

    pub fn append(&mut self, events: u64) {
        let mut file = OpenOptions::new().create(true).append(true).open(&self.path).unwrap();
        let mut text = Vec::new();
        for _ in 0..events {
            self.line(&mut text);
        }
        file.write_all(&text).unwrap();
    }

    fn line(&mut self, text: &mut Vec<u8>) {
        let n = self.written;
        self.written += 1;
        self.events += 1;
        // Eight sessions run at a time; each has ten events.
        let (step, session) = ((n / 8) % 10, n / 80 * 8 + n % 8);
        let fields = match step {
            0 => format!(
                r#""eventid":"cowrie.session.connect","src_port":{},"dst_port":2222,"protocol":"ssh""#,
                1024 + n % 60_000
            ),
            1 => format!(r#""eventid":"cowrie.client.version","version":"b'SSH-2.0-Go{}'""#, session % 5),
            2 => format!(r#""eventid":"cowrie.client.kex","hassh":"{:032x}""#, session % 7),
            3 | 4 => format!(r#""eventid":"cowrie.login.failed","username":"root\u0000","password":"{n}""#),
            5 => format!(r#""eventid":"cowrie.login.success","username":"root","password":"{n}""#),
            6 => format!(r#""eventid":"cowrie.command.input","input":"echo {n}""#),
            7 => {
                r#""eventid":"cowrie.direct-tcpip.request","dst_ip":"example.org","dst_port":80,"src_port":1"#
                    .to_owned()
            }
            8 => format!(
                r#""eventid":"cowrie.session.file_download","shasum":"{n:064x}","url":"http://192.0.2.1/x""#
            ),
            // Every sixteenth session is never closed.
            _ if session % 16 == 3 => {
                format!(r#""eventid":"cowrie.session.params","arch":"linux-x64-lsb","message":[],"n":{n}"#)
            }
            _ => format!(r#""eventid":"cowrie.session.closed","duration":"{}.5""#, n % 100),
        };
        let at = chrono::DateTime::from_timestamp_millis(1_700_000_000_000 + n as i64 * 700)
            .unwrap()
            .format("%Y-%m-%dT%H:%M:%S%.6fZ");
        let line = format!(
            r#"{{{fields},"session":"{session:012x}","src_ip":"198.51.{}.{}","sensor":"x","timestamp":"{at}"}}"#,
            session / 200 % 200,
            session % 200
        );
        text.extend_from_slice(line.as_bytes());
        text.push(b'\n');
        match n % 977 {
            5 => text.extend_from_slice(b"\n"),
            11 => text.extend_from_slice(&[0; 300]),
            17 => text.extend_from_slice(format!("{{\"eventid\":\"cowrie.login.succ {n}\n").as_bytes()),
            _ => (),
        }
    }
}
