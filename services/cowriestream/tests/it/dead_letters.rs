//! What cannot be used is kept, and can be used later.

use std::fs;

use crate::harness::{Hub, Writer, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_the_database_refuses_is_kept_and_replayed() {
    let hub = Hub::start().await;
    let mut writer = Writer::new(hub.dir.path().join("cowrie.json"));
    writer.append(300);
    // The database refuses two events, whatever batch they come in.
    hub.psql(
        "create function refuse() returns trigger language plpgsql as $$ begin
            if new.payload->>'password' in ('35', '115') then raise exception 'refused for a test'; end if; return new; end $$;
        create trigger refuse before insert on events for each row execute function refuse()",
    );
    let (_processor, _loader) = (hub.processor(&[]), hub.loader(&writer.path));
    hub.wait_for_events(writer.events - 2);
    eventually("both are dead letters", || hub.count("select count(*) from dead_letters where reason = 'rejected'") == 2);
    hub.wait_for_receipts(&writer.path);
    hub.assert_verified(&writer.path);

    hub.psql("drop trigger refuse on events");
    let listed: serde_json::Value = serde_json::from_slice(&hub.run(&["dead-letters", "list", "--reason", "rejected", "--json"]).stdout).unwrap();
    let ids: Vec<_> = listed.as_array().unwrap().iter().map(|row| row["dead_id"].as_str().unwrap().to_owned()).collect();
    let shown = hub.run(&["dead-letters", "show", &ids[0]]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("refused for a test"));
    hub.run(&[&["dead-letters", "replay"], ids.iter().map(String::as_str).collect::<Vec<_>>().as_slice()].concat());
    hub.wait_for_events(writer.events);
    eventually("both are resolved", || hub.count("select count(*) from dead_letters where resolved_event is not null") == 2);
    hub.assert_verified(&writer.path);
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_lines_are_events_or_dead_letters_and_stop_nothing() {
    let hub = Hub::start().await;
    let log = hub.dir.path().join("cowrie.json");
    let event = |fields: &str| format!("{{\"eventid\":\"cowrie.x.y\",\"timestamp\":\"2024-01-01T00:00:00Z\",{fields}}}\n").into_bytes();
    let deep = format!("\"a\":{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let lines: Vec<(Vec<u8>, Option<&str>)> = vec![
        (event("\"a\":\"\\u0000\\ud800\""), None),
        (event("\"session\":\"\\u0000\\udc00\",\"src_ip\":\"\\u001b[31m\""), None),
        (event("\"a\":1,\"a\":2"), None),
        (event(&format!("\"a\":\"{}\"", "x".repeat(1_000_000))), None),
        (b"{\"eventid\":\"KIPP0001\",\"timestamp\":\"yesterday\"}\n".to_vec(), None),
        (b"{\"eventid\":\"cowrie.> *\\r\\n\",\"timestamp\":\"9999-01-01T00:00:00Z\"}\n".to_vec(), None),
        (event(&format!("\"a\":\"{}\"", "y".repeat(1_100_000))), Some("too_long")),
        (event("\"a\":1e999999999"), Some("rejected")),
        (event(&deep), Some("rejected")),
        (event(&format!("\"session\":\"{}\"", random_text(200_000))), Some("rejected")),
        (b"\xff\xfe{}\n".to_vec(), Some("not_utf8")),
        (b"[{\"eventid\":\"cowrie.x.y\"}]\n".to_vec(), Some("not_an_object")),
        (b"{\"a\":1}\n".to_vec(), Some("no_eventid")),
        (event("\"a\":NaN"), Some("not_json")),
    ];
    fs::write(&log, lines.iter().flat_map(|(line, _)| line.clone()).collect::<Vec<_>>()).unwrap();
    let (_processor, _loader) = (hub.processor(&[]), hub.loader(&log));
    hub.wait_for_receipts(&log);
    let mut expected: Vec<_> = lines.iter().filter_map(|(_, reason)| *reason).collect();
    expected.sort_unstable();
    let reasons = hub.psql("select reason from dead_letters order by reason collate \"C\"");
    assert_eq!(reasons.lines().collect::<Vec<_>>(), expected);
    hub.wait_for_events(lines.len() as i64 - expected.len() as i64);
    assert_eq!(hub.count("select count(*) from events where ts = '-infinity'"), 2);
    let shown = hub.run(&["dead-letters", "list"]);
    assert!(!shown.stdout.iter().any(|&byte| byte == 0x1b || byte == b'\r'), "control characters reached the terminal");
    hub.assert_verified(&log);
}

/// Text that does not compress: an index entry of it is too long.
fn random_text(length: usize) -> String {
    let mut state = 88_172_645_463_325_252_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'a' + (state >> 40) as u8 % 26)
    };
    (0..length).map(|_| next()).collect()
}
