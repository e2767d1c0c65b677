//! `tail` misses nothing, whatever happens to the broker, and ends quietly.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use rustix::process::Signal;

use crate::harness::{Hub, PROGRAM, Process, Writer, eventually};

/// The lines of the log that are events, as `tail --json` should print them.
fn events(log: &Path) -> BTreeSet<String> {
    let text = String::from_utf8_lossy(&fs::read(log).unwrap()).replace('\0', "");
    let lines = text.lines().filter(|line| line.ends_with('}'));
    lines.map(|line| format!("{{\"sensor\":\"s\",\"event\":{line}}}")).collect()
}

fn printed(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    text.split_inclusive('\n')
        .filter(|line| line.ends_with('\n'))
        .map(|line| line.trim_end().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn tail_prints_every_event_once_over_a_restart_and_goes_on_with_a_new_stream() {
    let mut hub = Hub::start().await;
    let (log, out) = (hub.dir.path().join("cowrie.json"), hub.dir.path().join("tail.out"));
    let mut writer = Writer::new(log.clone());
    writer.append(2000);
    let _processor = hub.processor(&[]);
    let _loader = hub.loader(&log);
    let since = ["tail", "--json", "--since", "2023-01-01T00:00:00Z"];
    let mut tail = Process::start_writing(&mut hub.command(&since), &out, &hub.dir.path().join("tail.err"));
    let whole = |n: i64| eventually(&format!("{n} events are printed"), || printed(&out).len() as i64 >= n);
    whole(writer.events);
    // A processor that is still starting gives up when the broker disappears.
    hub.wait_for_events(writer.events);
    for _ in 0..2 {
        hub.rob_nats(|_| ()).await;
        writer.append(2000);
        whole(writer.events);
    }
    let lines = printed(&out);
    assert_eq!(lines.len() as i64, writer.events, "each event is printed once");
    assert_eq!(lines.into_iter().collect::<BTreeSet<_>>(), events(&log));

    hub.wait_for_events(writer.events);
    hub.wait_for_receipts(&log);
    hub.rob_nats(|store| fs::remove_dir_all(store).unwrap()).await;
    writer.append(2000);
    eventually("what comes on the new stream is printed", || {
        printed(&out).into_iter().collect::<BTreeSet<_>>() == events(&log)
    });
    tail.signal(Signal::INT);
    assert!(tail.end(), "a stop that was asked for is a success");
}

#[tokio::test(flavor = "multi_thread")]
async fn tail_shows_what_is_asked_for_and_ends_quietly() {
    let hub = Hub::start().await;
    let log = hub.dir.path().join("cowrie.json");
    let mut writer = Writer::new(log.clone());
    writer.append(800);
    let loader = hub.loader(&log);
    let shown = |arguments: &[&str]| {
        let out = hub.run(&[&["tail", "--no-follow"], arguments].concat()).stdout;
        String::from_utf8(out).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
    };
    eventually("all is in the stream", || shown(&[]).len() as i64 == writer.events);
    drop(loader);
    // Two of the ten events of a session are failed logins; see `Writer`.
    assert_eq!(shown(&["--event", "login.failed"]).len(), 160);
    assert_eq!(shown(&["--event", "cowrie.login.*", "--event", "login.failed"]).len(), 240);
    assert_eq!(shown(&["--event", "*.input", "--sensor", "s", "--sensor", "none"]).len(), 80);
    assert_eq!(shown(&["--session", "00000000000a"]).len(), 10);
    assert_eq!(shown(&["--ip", "198.51.0.10"]).len(), 10);
    assert_eq!(shown(&["--ip", "198.51.0.0/28"]).len(), 160);
    assert_eq!(shown(&["-n", "7"]).len(), 7);
    assert!(shown(&["--sensor", "none"]).is_empty() && shown(&["--since", "1h"]).is_empty());
    assert!(shown(&["--json"]).iter().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
    let failed = shown(&["--event", "login.failed", "-n", "1", "--sensor", "s"]);
    assert_eq!(
        failed,
        [r"2023-11-14 22:13:36.800 198.51.0.0      00000000 -      login.failed      root\u{0}/24"
            .replace(r"\u{0}", "\u{fffd}")]
    );

    let mut command = Command::new("bash");
    command
        .args(["-c", r#"set -o pipefail; "$1" tail --since 2023-01-01T00:00:00Z | head -1"#, "bash", PROGRAM])
        .env("NATS_URL", &hub.nats_url);
    let out = command.output().unwrap();
    assert!(out.status.success() && out.stderr.is_empty(), "{}", String::from_utf8_lossy(&out.stderr));
}
