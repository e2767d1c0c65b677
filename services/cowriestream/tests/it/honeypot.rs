//! Attacks a real Cowrie over SSH and Telnet. Everything that the attacker does is stored in every table and
//! shown on the terminal.

use std::{
    fs,
    io::Read,
    net::TcpStream,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::{
    harness::{PROGRAM, Process, directory, env_of, eventually, psql},
    up::running,
};

/// Installing Cowrie takes a minute on a fast network.
const INSTALLATION: Duration = Duration::from_secs(600);

fn up(data: &Path) -> Process {
    let mut command = Command::new(PROGRAM);
    command.args(["up", "--honeypot", "--sensor", "pot", "--data-dir", data.to_str().unwrap()]);
    let up = Process::start_writing(&mut command, &data.with_extension("out"), &data.with_extension("err"));
    let since = Instant::now();
    while !fs::read_to_string(data.with_extension("out")).unwrap().contains("Your events, live:") {
        let errors = fs::read_to_string(data.with_extension("err")).unwrap();
        assert!(
            since.elapsed() < INSTALLATION && !errors.contains("error: "),
            "no honeypot came up: {errors}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    println!("up --honeypot took {:.1} s", since.elapsed().as_secs_f64());
    up
}

fn greets(port: &str) -> bool {
    let mut greeting = [0; 4];
    TcpStream::connect(format!("127.0.0.1:{port}"))
        .is_ok_and(|mut connection| connection.read_exact(&mut greeting).is_ok() && &greeting == b"SSH-")
}

fn port(data: &Path, name: &str) -> String {
    env_of(data, name).strip_prefix("127.0.0.1:").unwrap().to_owned()
}

#[test]
fn what_an_attacker_does_is_in_every_table_and_on_the_terminal() {
    let Some(python) = std::env::var_os("COWRIESTREAM_TEST_PYTHON") else {
        return println!("COWRIESTREAM_TEST_PYTHON is not set: no honeypot is attacked");
    };
    let dir = directory();
    let data = dir.path().join("data");
    let mut first = up(&data);
    let database = env_of(&data, "DATABASE_URL");
    let public = PublicAddress::add();
    let attack = Command::new(python)
        .envs(public.as_ref().map(|_| ("PUBLIC_ADDRESS", PublicAddress::ADDRESS)))
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/attacker.py"))
        .args([&port(&data, "HONEYPOT_SSH"), &port(&data, "HONEYPOT_TELNET"), &database])
        .args([PROGRAM, "tail", "--json", "--event", "command.*", "--data-dir", data.to_str().unwrap()])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&attack.stdout).into_owned();
    assert!(attack.status.success(), "{said}{}", String::from_utf8_lossy(&attack.stderr));
    print!("{said}");
    let log = data.join("honeypot/var/log/cowrie/cowrie.json");
    let lines = || fs::read(&log).unwrap().iter().filter(|&&byte| byte == b'\n').count();
    eventually("all sessions are closed and everything is in Postgres", || {
        psql(&database, "select count(*) filter (where closed), (select count(*) from events) from sessions")
            .trim()
            == format!("3|{}", lines())
    });
    let whole = format!("{{[0,{})}}", fs::metadata(&log).unwrap().len());
    eventually("every byte is receipted", || {
        psql(&database, "select committed from loader_files where sensor = 'pot'").trim() == whole
    });
    tables(&database, lines(), public.is_some());
    let verified = Command::new(PROGRAM)
        .args(["verify", "--sensor", "pot", "--log", log.to_str().unwrap()])
        .env("DATABASE_URL", &database)
        .output()
        .unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));

    let out = data.with_extension("out");
    eventually("the last event is on the terminal", || {
        fs::read_to_string(&out).unwrap().matches("session.closed").count() == 3
    });
    terminal(&fs::read_to_string(&out).unwrap(), lines());

    let pid = || fs::read_to_string(data.join("honeypot.pid")).unwrap_or_default();
    let crashed = pid();
    assert!(Command::new("kill").args(["-9", crashed.trim()]).status().unwrap().success());
    eventually("a honeypot that crashed is started again", || {
        pid() != crashed && greets(&port(&data, "HONEYPOT_SSH"))
    });

    // Nothing is installed again, and the ports stay the same.
    first.signal(Signal::INT);
    assert!(first.end());
    let before = port(&data, "HONEYPOT_SSH");
    let second = up(&data);
    assert_eq!(port(&data, "HONEYPOT_SSH"), before);
    assert!(!fs::read_to_string(data.with_extension("err")).unwrap().contains("installing"));
    second.kill();
    eventually("nothing is left running", || running(&data).is_empty());
}

/// An address of this machine that Cowrie takes for public, because it refuses private ones: one of the
/// blackhole servers of AS112, on the loopback interface during the test. Without the permission to add it,
/// nothing is downloaded.
struct PublicAddress;

impl PublicAddress {
    const ADDRESS: &str = "192.31.196.77";

    fn add() -> Option<Self> {
        let added = Self::ip("add");
        if !added {
            println!("no right to add {} to the loopback interface: nothing is downloaded", Self::ADDRESS);
        }
        added.then_some(Self)
    }

    fn ip(what: &str) -> bool {
        Command::new("ip")
            .args(["addr", what, &format!("{}/32", Self::ADDRESS), "dev", "lo"])
            .output()
            .is_ok_and(|out| out.status.success())
    }
}

impl Drop for PublicAddress {
    fn drop(&mut self) {
        Self::ip("del");
    }
}

fn tables(database: &str, lines: usize, downloaded: bool) {
    let rows = |sql: &str, expected: &[&str]| {
        assert_eq!(psql(database, sql).lines().collect::<Vec<_>>(), expected, "{sql}")
    };
    rows(
        "select event_count, outside_time_count, unknown_count from sensors where sensor = 'pot'",
        &[&format!("{lines}|0|0")],
    );
    rows(
        "select protocol, host(src_ip), username, password, login_attempts, login_successes, command_count, client_version, close_reason from sessions order by started_at",
        &[
            &format!(
                "ssh|127.0.0.1|root|hunter2|3|1|{}|SSH-2.0-paramiko_5.1.0|closed",
                if downloaded { 26 } else { 24 }
            ),
            "ssh|127.0.0.1|oracle|steer-e2e|1|1|1|SSH-2.0-paramiko_5.1.0|closed",
            "telnet|127.0.0.1|admin|telnet-e2e|2|1|2||closed",
        ],
    );
    rows(
        "select success, username, password, key_type from login_attempts order by ts",
        &[
            "f|root||ecdsa-sha2-nistp256",
            "f|root|123456|",
            "t|root|hunter2|",
            "t|oracle|steer-e2e|",
            "f|root|root|",
            "t|admin|telnet-e2e|",
        ],
    );
    rows(
        "select kind, input from commands where input !~ 'keystroke|pwned|wget' order by ts",
        &[
            "input|uname -a",
            "input|no-such-program --e2e",
            "failed|no-such-program --e2e",
            "input|printf 'dropped by e2e' > /tmp/dropped",
            "input|exit",
            "input|cat /proc/uptime",
            "input|exit",
        ],
    );
    rows(
        "select count(*), count(distinct input) from commands where kind = 'input' and input like 'echo keystroke-%'",
        &["20|20"],
    );
    rows(
        "select count(*) from commands where kind = 'input' and input like 'echo ' || chr(27) || ']0;pwned' || chr(7) || '%'",
        &["1"],
    );
    // printf 'dropped by e2e' | sha256sum
    let dropped = "download||bdf40e80807f94bddda188ac66d9e10efbdd67d15bb02d4a0c7e42f394adc3c3|/tmp/dropped|";
    let fetched = "download|http://192.31.196.77:8099/e2e|9aa5138dafccb8848f1f3614fe0bd4703f4675766a6ff1e07ab9000cb7cc5f4e||";
    // Cowrie logs a missing file as a download without a file.
    let missing = "download|http://192.31.196.77:8099/missing|||";
    let uploaded = "upload||e1d2a8804e8f13bf11e08439fac63872d77ef39540771ce858da6e17db372f3c||uploaded";
    let expected =
        if downloaded { vec![fetched, missing, dropped, uploaded] } else { vec![dropped, uploaded] };
    rows("select kind, url, shasum, destfile, filename from downloads order by kind, ts", &expected);
    rows(
        "select kind, dst_host, host(dst_ip), dst_port, host(claimed_ip), claimed_port, replace(python_text(data), E'\\r\\n', '<CRLF>') from forwards where kind in ('request', 'data') order by ts",
        &[
            "request|192.0.2.80|192.0.2.80|80|198.51.100.7|4242|",
            "data|192.0.2.80|192.0.2.80|80|||GET /e2e HTTP/1.0<CRLF><CRLF>",
        ],
    );
    rows(
        "select kind, version, length(client_fingerprints.hassh), client_fingerprints.username, key_type, name, value, width, height from client_fingerprints join sessions using (session) where sessions.username = 'root' order by ts",
        &[
            "version|SSH-2.0-paramiko_5.1.0|||||||",
            "kex||32||||||",
            "key|||root|ecdsa-sha2-nistp256||||",
            "var|||||LC_ATTACKER|e2e||",
            "size|||||||132|43",
        ],
    );
    rows("select count(*) from dead_letters", &["0"]);
}

/// The output of `up`.
fn terminal(text: &str, lines: usize) {
    let (invitation, live) = text.split_once("Your events, live:\n").unwrap();
    assert!(invitation.contains("ssh -p ") && invitation.contains("telnet 127.0.0.1 "), "{invitation}");
    assert_eq!(live.lines().count(), lines, "every event is a line");
    for said in [
        "login.failed      root/123456",
        "login.success     root/hunter2",
        "command.failed    `no-such-program --e2e`",
        "login.success     admin/telnet-e2e",
    ] {
        assert!(live.contains(said), "{said:?} is not in {live}");
    }
    assert!(live.contains(r"`echo \u{1b}]0;pwned\u{7} \u{202e} \u{9b}2J`"), "{live}");
    assert!(!live.chars().any(|c| c.is_control() && c != '\n'), "{live:?}");
}
