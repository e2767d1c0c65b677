//! Logs with CRLF line ends.

use std::fs;

use events::{Record, SensorId, Source};
use processor::{Content, Prepared, Windows, keep};
use store::{Store, StoreArgs, ingest::events::StoredEvent};

use crate::harness::{Hub, Writer, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_with_other_line_ends_changes_nothing() {
    let hub = Hub::start().await;
    let log = hub.dir.path().join("cowrie.json");
    let mut writer = Writer::new(log.clone());
    writer.append(160);
    let lines = fs::read_to_string(&log).unwrap();
    let lines: Vec<_> = lines.lines().filter(|line| line.ends_with('}')).collect();
    assert_eq!(lines.len(), 160);
    let (half, rest) = lines.split_at(80);
    let text =
        |lines: &[&str], end: &str| lines.iter().map(|line| format!("{line}{end}")).collect::<String>();

    // Version 1 of the repair gave the second half this id: its carriage return is part of the id.
    let sensor: SensorId = "s".parse().unwrap();
    let store =
        Store::connect(&StoreArgs { database_url: Some(hub.database_url.clone()), database_connections: 2 })
            .await
            .unwrap();
    let source = Source::default();
    let events = rest.iter().map(|line| {
        let line = format!("{line}\r").into_bytes();
        let record = Record::read(&sensor, &line).unwrap();
        StoredEvent { line: (!record.exact).then_some(line), record, source: None, earlier: None }
    });
    let batch: Vec<_> = events
        .map(|event| Prepared {
            content: Content::Event(Box::new(event), None),
            source: &source,
            announce: None,
            replaces: None,
        })
        .collect();
    keep(&store, &batch, Windows::Kept, None).await.unwrap();
    assert_eq!(hub.events(), 80);

    // One half with each line end, converted in both directions; the other half unchanged.
    fs::write(&log, text(half, "\n")).unwrap();
    fs::write(log.with_extension("json.1"), text(half, "\r\n")).unwrap();
    fs::write(log.with_extension("json.2"), text(half, "\r\r\n")).unwrap();
    fs::write(log.with_extension("json.3"), text(rest, "\r\n")).unwrap();
    let (_processor, _loader) = (hub.processor(&[]), hub.loader(&log));
    let receipts =
        "select count(*) from loader_files where lower(committed) = 0 and upper(committed) > 10000";
    eventually("all files are receipted", || hub.count(receipts) == 4);
    assert_eq!(hub.events(), 160);
    let wrong = "select count(*) from sessions where event_count <> 10";
    assert_eq!(hub.count(wrong), 0);
    let out = hub.run(&["verify", "--sensor", "s", "--log", log.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(
        said.contains("clean")
            && said.contains("80 events are stored under the identity of an earlier version"),
        "{said}"
    );
    hub.psql(
        "delete from events where event_id = (select event_id from events where source_file is null limit 1)",
    );
    let out = hub.command(&["verify", "--sensor", "s", "--log", log.to_str().unwrap()]).output().unwrap();
    assert!(
        String::from_utf8_lossy(&out.stdout).contains("missing: 1\n"),
        "{}",
        String::from_utf8_lossy(&out.stdout)
    );
}
