//! `up` leaves nothing running, repairs what crashes, and continues.

use std::{fs, path::Path, process::Command};

use rustix::process::Signal;

use crate::harness::{PROGRAM, Process, Writer, directory, env_of, eventually, psql};

fn up(data: &Path, log: &Path) -> Process {
    fs::remove_file(data.join("env")).ok();
    let arguments = ["up", "--data-dir", data.to_str().unwrap(), "--log", log.to_str().unwrap()];
    let up = Process::start(Command::new(PROGRAM).args(arguments), &data.with_extension("err"));
    eventually("up is ready", || data.join("env").exists());
    up
}

/// Processes whose command line contains the directory.
pub fn running(data: &Path) -> Vec<String> {
    let out = Command::new("pgrep").args(["-f", data.to_str().unwrap()]).output().unwrap();
    String::from_utf8(out.stdout).unwrap().lines().map(str::to_owned).collect()
}

fn events(data: &Path) -> i64 {
    psql(&env_of(data, "DATABASE_URL"), "select count(*) from events").trim().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn up_continues_after_every_kind_of_end_and_leaves_nothing_running() {
    let dir = directory();
    let (data, log) = (dir.path().join("data"), dir.path().join("cowrie.json"));
    let mut writer = Writer::new(log.clone());
    writer.append(500);
    let mut first = up(&data, &log);
    eventually("the log is in", || events(&data) == writer.events);
    let second = Command::new(PROGRAM).args(["up", "--data-dir", data.to_str().unwrap()]).output().unwrap();
    assert!(
        !second.status.success()
            && String::from_utf8_lossy(&second.stderr).contains("another `cowriestream up`")
    );
    first.signal(Signal::TERM);
    assert!(first.end(), "a stop that was asked for is a success");
    assert_eq!(running(&data), Vec::<String>::new());

    // After a kill, the servers end too, or the next start ends them.
    writer.append(500);
    let killed = up(&data, &log);
    eventually("the log is in", || events(&data) == writer.events);
    killed.kill();
    let mut after = up(&data, &log);
    writer.append(500);
    eventually("the log is in", || events(&data) == writer.events);

    // When a server crashes, it is restarted, and so is everything that depends on it.
    for server in ["nats", "postgres", "redis"] {
        let pid = fs::read_to_string(data.join(format!("{server}.pid"))).unwrap();
        assert!(Command::new("kill").args(["-9", pid.trim()]).status().unwrap().success());
        eventually("the server is started again", || {
            fs::read_to_string(data.join(format!("{server}.pid"))).is_ok_and(|now| now != pid)
        });
    }
    writer.append(500);
    let count = || {
        Command::new("psql")
            .args([&env_of(&data, "DATABASE_URL"), "-XAtc", "select count(*) from events"])
            .output()
            .unwrap()
            .stdout
    };
    eventually("the log is in after the crashes", || {
        String::from_utf8_lossy(&count()).trim() == writer.events.to_string()
    });
    after.signal(Signal::INT);
    assert!(after.end());
    assert_eq!(running(&data), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_stops_at_once_and_leaves_nothing_running() {
    let dir = directory();
    let (data, log) = (dir.path().join("data"), dir.path().join("cowrie.json"));
    Writer::new(log.clone()).append(100);
    let mut up = up(&data, &log);
    // The database does not answer, so an orderly stop would take long.
    let postgres = fs::read_to_string(data.join("postgres.pid")).unwrap();
    assert!(Command::new("kill").args(["-STOP", postgres.trim()]).status().unwrap().success());
    up.signal(Signal::INT);
    eventually("it is stopping", || {
        fs::read_to_string(data.with_extension("err")).unwrap().contains("a second signal stops at once")
    });
    up.signal(Signal::INT);
    assert!(!up.end(), "what was cut short is no success");
    eventually("nothing is left running", || running(&data).is_empty());
}

#[test]
fn a_bad_value_names_the_key_the_value_and_what_is_allowed() {
    for (arguments, names) in [
        (vec!["up", "--log", "x", "--sensor", "a.b"], vec!["--sensor", "a.b", "A-Z a-z 0-9 _ -"]),
        (vec!["verify", "--log", "/nowhere/cowrie.json"], vec!["/nowhere/cowrie.json", "no such file"]),
        (vec!["processor"], vec!["NATS_URL"]),
        (vec!["loader", "--log", "x"], vec!["NATS_URL"]),
    ] {
        let out = Command::new(PROGRAM)
            .args(&arguments)
            .current_dir("/")
            .env_remove("NATS_URL")
            .env_remove("DATABASE_URL")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&out.stderr);
        assert!(!out.status.success());
        assert!(names.iter().all(|name| text.contains(name)), "{arguments:?}: {text}");
    }
}
