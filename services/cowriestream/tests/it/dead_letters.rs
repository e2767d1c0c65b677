//! Lines that cannot be used are stored, and can be replayed later.

use std::fs;

use crate::harness::{Hub, Writer, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_the_database_refuses_is_kept_and_replayed() {
    let hub = Hub::start().await;
    let mut writer = Writer::new(hub.dir.path().join("cowrie.json"));
    writer.append(300);
    // The database refuses two events in any batch.
    hub.psql(
        "create function refuse() returns trigger language plpgsql as $$ begin
            if new.payload->>'password' in ('35', '115') then raise exception 'refused for a test'; end if; return new; end $$;
        create trigger refuse before insert on events for each row execute function refuse()",
    );
    let (_processor, _loader) = (hub.processor(&[]), hub.loader(&writer.path));
    hub.wait_for_events(writer.events - 2);
    eventually("both are dead letters", || {
        hub.count("select count(*) from dead_letters where reason = 'rejected'") == 2
    });
    hub.wait_for_receipts(&writer.path);
    hub.assert_verified(&writer.path);

    hub.psql("drop trigger refuse on events");
    let listed: serde_json::Value =
        serde_json::from_slice(&hub.run(&["dead-letters", "list", "--reason", "rejected", "--json"]).stdout)
            .unwrap();
    let ids: Vec<_> =
        listed.as_array().unwrap().iter().map(|row| row["dead_id"].as_str().unwrap().to_owned()).collect();
    let shown = hub.run(&["dead-letters", "show", &ids[0]]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("refused for a test"));
    hub.run(
        &[&["dead-letters", "replay"], ids.iter().map(String::as_str).collect::<Vec<_>>().as_slice()]
            .concat(),
    );
    hub.wait_for_events(writer.events);
    eventually("both are resolved", || {
        hub.count("select count(*) from dead_letters where resolved_event is not null") == 2
    });
    hub.assert_verified(&writer.path);
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_lines_are_events_or_dead_letters_and_stop_nothing() {
    let hub = Hub::start().await;
    let log = hub.dir.path().join("cowrie.json");
    let event = |fields: &str| {
        format!("{{\"eventid\":\"cowrie.x.y\",\"timestamp\":\"2024-01-01T00:00:00Z\",{fields}}}\n")
            .into_bytes()
    };
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
    assert!(
        !shown.stdout.iter().any(|&byte| byte == 0x1b || byte == b'\r'),
        "control characters reached the terminal"
    );
    hub.assert_verified(&log);
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_stay_under_their_limit() {
    let hub = Hub::start().await;
    let log = hub.dir.path().join("cowrie.json");
    let lines: Vec<String> = (0..5).map(|n| format!("{n}{}\n", "x".repeat(100_000))).collect();
    fs::write(&log, lines.concat()).unwrap();
    let (_processor, _loader) =
        (hub.processor(&[("COWRIESTREAM_DEAD_LETTERS_MAX_BYTES", "250000")]), hub.loader(&log));
    hub.wait_for_receipts(&log);
    eventually("the oldest bodies are gone", || {
        hub.count("select count(*) from dead_letters where body is null") == 3
    });
    assert_eq!(hub.psql("select count(*), min(length), count(hash) from dead_letters").trim(), "5|100001|5");
    hub.assert_verified(&log);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_sensor_drops_is_counted_and_receipted() {
    let hub = Hub::start().await;
    let mut writer = Writer::new(hub.dir.path().join("cowrie.json"));
    writer.append(800);
    let log = writer.path.to_str().unwrap().to_owned();
    let state = hub.dir.path().join("state");
    let drops = ["--drop", "login.*,s=client.kex,other=command.input"];
    let arguments = ["loader", "--sensor", "s", "--log", &log, "--state-dir", state.to_str().unwrap()];
    let start = || {
        crate::harness::Process::start(
            hub.command(&arguments).args(drops),
            &hub.dir.path().join("loader.err"),
        )
    };
    let (_processor, loader) = (hub.processor(&[]), start());
    // Four of the ten events of a session are dropped: three logins and one key exchange.
    let wanted = writer.events * 6 / 10;
    hub.wait_for_events(wanted);
    // The last lines of the log are wanted, so all of it is receipted.
    hub.wait_for_receipts(&writer.path);
    drop(loader);
    writer.append(80);
    let _loader = start();
    hub.wait_for_events(wanted + 48);
    assert_eq!(
        hub.count(
            "select count(*) from events where eventid like 'cowrie.login.%' or eventid = 'cowrie.client.kex'"
        ),
        0
    );
    let out = hub.run(
        &[["verify", "--sensor", "s", "--log", &log], [drops[0], drops[1], "--show", "5", "--json"]].concat(),
    );
    let report: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    assert!(report["dropped_bytes"].as_u64().unwrap() > 0);
    eventually("status tells what was dropped", || {
        let status: serde_json::Value =
            serde_json::from_slice(&hub.run(&["status", "--json"]).stdout).unwrap();
        status["sensors"][0]["heartbeat"]["dropped"].as_u64().is_some_and(|dropped| dropped >= 32)
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn an_array_is_expanded_only_when_asked_for() {
    let hub = Hub::start().await;
    let mut writer = Writer::new(hub.dir.path().join("cowrie.json"));
    writer.append(5);
    let text = fs::read_to_string(&writer.path).unwrap();
    let events: Vec<_> = text.lines().filter(|line| line.ends_with('}')).collect();
    let (export, dir) = (hub.dir.path().join("export.json"), hub.dir.path().join("data"));
    fs::write(&export, format!("[{}, 7]", events.join(" , "))).unwrap();
    let _processor = hub.processor(&[]);
    let load = |more: &[&str]| {
        hub.run(
            &[&["load", "--json", "--data-dir", dir.to_str().unwrap(), export.to_str().unwrap()], more]
                .concat(),
        )
    };
    load(&[]);
    assert_eq!(hub.psql("select reason from dead_letters").trim(), "not_an_object");
    assert_eq!(hub.events(), 0);
    fs::remove_dir_all(&dir).unwrap();
    load(&["--expand-arrays"]);
    hub.wait_for_events(5);
    assert_eq!(hub.psql("select reason from dead_letters where reason <> 'not_an_object'").trim(), "glued");
    hub.run(&["verify", "--expand-arrays", "--log", export.to_str().unwrap()]);
}

/// Text that does not compress, so that its index entry is too long.
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

#[tokio::test(flavor = "multi_thread")]
async fn a_half_line_that_goes_on_resolves_its_dead_letters() {
    use std::io::Write;
    let hub = Hub::start().await;
    let log = hub.dir.path().join("cowrie.json");
    fs::write(&log, "").unwrap();
    let mut copied = fs::File::create(hub.dir.path().join("cowrie.json.2024-01-01")).unwrap();
    let event = |n| format!(r#"{{"eventid":"cowrie.x.y","timestamp":"2024-01-01T00:00:00Z","n":{n}"#);
    write!(copied, "{}}}\n{}", event(1), event(2)).unwrap();
    let state = hub.dir.path().join("state");
    let arguments = [
        "loader",
        "--sensor",
        "s",
        "--log",
        log.to_str().unwrap(),
        "--state-dir",
        state.to_str().unwrap(),
        "--close-after-seconds",
        "1",
    ];
    let _loader =
        crate::harness::Process::start(&mut hub.command(&arguments), &hub.dir.path().join("loader.err"));
    let _processor = hub.processor(&[]);
    let dead = |resolved: &str| {
        hub.count(&format!("select count(*) from dead_letters where reason = 'truncated' and {resolved}"))
    };
    eventually("the half is a dead letter", || dead("resolved_at is null") == 1);
    write!(copied, r#","more":"#).unwrap();
    eventually("a longer half replaces it", || {
        dead("resolved_at is null") == 1 && dead("resolved_at is not null and resolved_event is null") == 1
    });
    writeln!(copied, "1}}").unwrap();
    hub.wait_for_events(2);
    eventually("the event resolves it", || {
        dead("resolved_event is not null") == 1 && dead("resolved_at is null") == 0
    });
    hub.assert_verified(&log);
}
