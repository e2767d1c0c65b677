//! Many messages at once: no publisher waits for room that another publisher, or itself, holds.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use crate::harness::{Hub, PROGRAM, Process, Writer, directory, env_of, psql};

/// More sensors than one connection's acknowledgements can serve well.
const SENSORS: usize = 64;
/// Size of each sensor's log without `BACKLOG_BYTES`: together many more messages than may be in flight.
const LOG_BYTES: u64 = 110_000;
/// A load that commits nothing for this long has stalled.
const STANDSTILL: Duration = Duration::from_secs(60);

/// `BACKLOG_BYTES=100000000 cargo test -p cowriestream --test it backlog` runs it at full size (needs 20 GB
/// and some hours).
#[test]
fn sixty_four_sensors_in_backlog_are_loaded_to_the_end_while_the_relay_works() {
    let dir = directory();
    let bytes = std::env::var("BACKLOG_BYTES").map_or(LOG_BYTES, |bytes| bytes.parse().unwrap());
    let mut writer = Writer::new(dir.path().join("cowrie.json"));
    while fs::metadata(&writer.path).map_or(0, |meta| meta.len()) < bytes {
        writer.append(100);
    }
    let (data, out, errors) = (dir.path().join("data"), dir.path().join("up.out"), dir.path().join("up.err"));
    let mut command = Command::new(PROGRAM);
    command.args(["up", "--once", "--json", "--data-dir"]).arg(&data).arg("--log");
    for sensor in 0..SENSORS {
        let log = dir.path().join(format!("cowrie-{sensor}.json"));
        fs::hard_link(&writer.path, &log).unwrap();
        command.arg(format!("s{sensor}={}", log.display()));
    }
    let mut up = Process::start_writing(&mut command, &out, &errors);
    let mut last = (Instant::now(), String::new());
    while !up.has_ended() {
        let now = progress(&data);
        if now != last.1 {
            last = (Instant::now(), now);
        }
        assert!(
            last.0.elapsed() < STANDSTILL,
            "stands still; events | summaries published | waiting: {}\n{}",
            last.1,
            fs::read_to_string(&errors).unwrap()
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(up.end(), "{}", fs::read_to_string(&errors).unwrap());
    let done: serde_json::Value = serde_json::from_slice(&fs::read(&out).unwrap()).unwrap();
    assert_eq!(done["events"], writer.events * SENSORS as i64);
    let stored: Vec<_> =
        done["sensors"].as_array().unwrap().iter().map(|sensor| sensor["events"].as_i64().unwrap()).collect();
    assert_eq!(stored, [writer.events; SENSORS]);
}

/// The number of committed events and the state of the relay; empty before there is a database.
fn progress(data: &Path) -> String {
    if !data.join("env").exists() {
        return String::new();
    }
    let sql = "select (select sum(event_count) from sensors), count(published_at), count(*) - count(published_at) from outbox";
    let out = Command::new("psql").args([&env_of(data, "DATABASE_URL"), "-XAtc", sql]).output().unwrap();
    String::from_utf8(out.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_may_be_more_messages_than_may_be_in_flight() {
    const ELEMENTS: usize = 17_000;
    let hub = Hub::start().await;
    let _processor = hub.processor(&[]);
    let elements: Vec<_> = (0..ELEMENTS).map(|n| format!(r#"{{"eventid":"cowrie.x","n":{n}}}"#)).collect();
    let log = hub.dir.path().join("export.json");
    fs::write(&log, format!("[{}]\n", elements.join(","))).unwrap();
    let arguments = [
        "load",
        "--expand-arrays",
        "--json",
        "--data-dir",
        hub.dir.path().to_str().unwrap(),
        log.to_str().unwrap(),
    ];
    let mut load = Process::start(&mut hub.command(&arguments), &hub.dir.path().join("loader.err"));
    assert!(load.end());
    assert_eq!(psql(&hub.database_url, "select event_count from sensors").trim(), ELEMENTS.to_string());
}
