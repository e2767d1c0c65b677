//! `verify` of logs that are being written, rotated and deleted.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use crate::harness::{Hub, Writer, eventually};

/// Runs `verify`. Returns whether it is clean, and its output.
fn verify(hub: &Hub, log: &Path, more: &[&str]) -> (bool, String) {
    let arguments = [&["verify", "--sensor", "s", "--log", log.to_str().unwrap()], more].concat();
    let out = hub.command(&arguments).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(matches!(out.status.code(), Some(0 | 1)), "{text}");
    (out.status.success(), text)
}

fn assert_clean(hub: &Hub, log: &Path, more: &[&str]) -> String {
    let (clean, text) = verify(hub, log, more);
    assert!(clean, "{text}");
    text
}

fn assert_finds(hub: &Hub, log: &Path, more: &[&str], names: &[&str]) {
    let (clean, text) = verify(hub, log, more);
    assert!(!clean, "{text}");
    for name in names {
        assert!(text.contains(name), "{name} is not named: {text}");
    }
}

/// Writes 10 lines every 250 ms until it is stopped, and renames the log after every N lines.
struct Writing {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Writer>,
}

impl Writing {
    fn start(mut writer: Writer, rotate_after: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let path = writer.path.clone();
            let name = |n: usize| format!("{}.{n}", path.display());
            let mut turns = 0;
            let first = (1..).find(|n| !Path::new(&name(*n)).exists()).unwrap();
            while !stopped.load(Ordering::Relaxed) {
                turns += 1;
                if turns % rotate_after == 0 {
                    fs::rename(&path, name(first + turns / rotate_after)).unwrap();
                }
                writer.append(10);
                std::thread::sleep(Duration::from_millis(250));
            }
            writer
        });
        Self { stop, thread }
    }

    fn end(self) -> Writer {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_being_written_is_clean_and_its_faults_are_found() {
    let hub = Hub::start().await;
    let mut writer = Writer::new(hub.dir.path().join("cowrie.json"));
    let log = writer.path.clone();
    writer.append(400);
    let (_processor, loader) = (hub.processor(&[]), hub.loader(&log));
    hub.wait_for_events(writer.events);
    let writing = Writing::start(writer, usize::MAX);
    for _ in 0..3 {
        assert_clean(&hub, &log, &[]);
    }
    // Faults are found during that time: a missing row, a superfluous row, a counter.
    let some = "select event_id from events where session = '000000000002' and eventid = 'cowrie.login.failed' order by ts limit 1";
    let id = hub.psql(some).trim().replace('-', "");
    hub.psql(&format!("create table saved as select * from events where event_id = ({some}); delete from events where event_id = ({some})"));
    assert_finds(&hub, &log, &[], &["missing: 1\n", &id, "session 000000000002: event_count"]);
    // 1 700 000 000 is 2023-11-14T22:13:20Z: the fault is before this time.
    let (clean, text) = verify(&hub, &log, &["--since", "2023-11-14T22:20:00Z"]);
    assert!(!clean && text.contains("missing: 0\n") && text.contains("outside of --since"), "{text}");
    hub.psql("insert into events select * from saved");
    hub.psql("insert into events select (jsonb_populate_record(s, '{\"event_id\": \"11111111-2222-3333-4444-555555555555\"}')).* from saved s");
    assert_finds(&hub, &log, &[], &["extra: 1\n", "11111111222233334444555555555555"]);
    hub.psql("delete from events where event_id = '11111111-2222-3333-4444-555555555555'");
    for (change, back, said) in [
        (
            "update sessions set login_attempts = login_attempts + 1 where session = '000000000005'",
            "login_attempts - 1",
            "session 000000000005: login_attempts",
        ),
        ("update sensors set event_count = event_count + 1", "event_count - 1", "sensor s: row is"),
    ] {
        hub.psql(change);
        assert_finds(&hub, &log, &[], &["missing: 0\n", "extra: 0\n", said]);
        let column = back.split(' ').next().unwrap();
        hub.psql(&change.replace(&format!("{column} = {column} + 1"), &format!("{column} = {back}")));
    }
    assert_clean(&hub, &log, &[]);
    let mut writer = writing.end();

    // Lines that nobody commits are missing in the end.
    hub.wait_for_events(writer.events);
    drop(loader);
    writer.append(30);
    assert_finds(&hub, &log, &["--wait", "1"], &["is not committed", "is a loader running", "extra: 0\n"]);
    let _loader = hub.loader(&log);
    assert_clean(&hub, &log, &[]);

    // The log is rotated while `verify` reads it.
    let writing = Writing::start(writer, 7);
    for _ in 0..3 {
        assert_clean(&hub, &log, &[]);
    }
    let writer = writing.end();
    hub.wait_for_events(writer.events);
    let text = assert_clean(&hub, &log, &["--json"]);
    let report: serde_json::Value =
        serde_json::from_str(text.lines().find(|line| line.starts_with('{')).unwrap()).unwrap();
    assert_eq!((&report["not_committed"]["lines"], &report["events"]), (&0.into(), &writer.events.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_deleted_moved_or_swapped_is_counted_apart() {
    let hub = Hub::start().await;
    let directory = hub.dir.path().join("logs");
    fs::create_dir(&directory).unwrap();
    let mut writer = Writer::new(directory.join("cowrie.json"));
    let log = writer.path.clone();
    let (_processor, loader) = (hub.processor(&[]), hub.loader(&log));
    for day in ["2", "1", ""] {
        writer.append(100);
        hub.wait_for_events(writer.events);
        if !day.is_empty() {
            fs::rename(&log, log.with_extension(format!("json.{day}"))).unwrap();
        }
    }
    let receipts =
        "select coalesce(sum(upper(r) - lower(r)), 0)::bigint from loader_files, unnest(committed) as r";
    let size: u64 =
        fs::read_dir(&directory).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
    eventually("all is receipted", || hub.count(receipts) == size as i64);
    assert!(!assert_clean(&hub, &log, &[]).contains("older than"));

    // The oldest log is deleted on purpose; the others are still compared.
    fs::remove_file(log.with_extension("json.2")).unwrap();
    let text = assert_clean(&hub, &log, &[]);
    assert!(
        text.contains("older than the oldest file: 100\n")
            && text.contains("100 events, 2023-11-14T22:13:20Z"),
        "{text}"
    );
    let id = hub.psql("select event_id from events order by ts desc limit 1");
    hub.psql(&format!("create table saved as select * from events where event_id = '{0}'; delete from events where event_id = '{0}'", id.trim()));
    assert_finds(&hub, &log, &[], &["missing: 1\n", &id.trim().replace('-', "")]);
    hub.psql("insert into events select * from saved");

    // The log is moved out of the pattern, and the loader has not seen the new one.
    drop(loader);
    let elsewhere = hub.dir.path().join("old");
    fs::create_dir(&elsewhere).unwrap();
    fs::rename(&log, elsewhere.join("cowrie.json")).unwrap();
    writer.append(50);
    assert_finds(&hub, &log, &["--wait", "1"], &["missing: 50\n", "extra: 0\n"]);
    let _loader = hub.loader(&log);
    let text = assert_clean(&hub, &log, &[]);
    assert!(text.contains("from other files: 100\n"), "{text}");

    // A symbolic link is swapped while it is read.
    let link = hub.dir.path().join("link.json");
    std::os::unix::fs::symlink(elsewhere.join("cowrie.json"), &link).unwrap();
    let text = assert_clean(&hub, &link, &[]);
    assert!(
        text.contains("older than the oldest file: 200\n") && text.contains("from other files: 50\n"),
        "{text}"
    );
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(&log, &link).unwrap();
    assert_clean(&hub, &link, &[]);
}
