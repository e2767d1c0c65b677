//! `verify` names everything that does not agree.

use std::{fs, io::Write};

use crate::harness::{Hub, Writer, dump, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn verify_names_what_was_tampered_with() {
    let hub = Hub::start().await;
    let mut writer = Writer::new(hub.dir.path().join("cowrie.json"));
    writer.append(400);
    let (_processor, _loader) = (hub.processor(&[]), hub.loader(&writer.path));
    hub.wait_for_events(writer.events);
    hub.assert_verified(&writer.path);
    drop(_loader);

    let some = "select event_id from events where session = '000000000002' and eventid = 'cowrie.login.failed' order by ts limit 1";
    let id = hub.psql(some).trim().replace('-', "");
    hub.psql(&format!("create table saved as select * from events where event_id = ({some}); delete from events where event_id = ({some})"));
    finds(&hub, &writer, "missing", &[&id, "session 000000000002: event_count"]);
    hub.psql("insert into events select * from saved");
    hub.assert_verified(&writer.path);

    hub.psql("insert into events select (jsonb_populate_record(s, '{\"event_id\": \"11111111-2222-3333-4444-555555555555\"}')).* from saved s");
    finds(&hub, &writer, "extra", &["11111111222233334444555555555555"]);
    hub.psql("delete from events where event_id = '11111111-2222-3333-4444-555555555555'");

    hub.psql("insert into events (event_id, sensor, session, eventid, ts, payload, length) values ('66666666-2222-3333-4444-555555555555', 's', null, 'x', '2024-01-01', '{}', 2)".replace("'2024-01-01'", "(select max(ts) from events)").as_str());
    finds(&hub, &writer, "extra", &["66666666222233334444555555555555"]);
    hub.psql("delete from events where event_id = '66666666-2222-3333-4444-555555555555'");

    for column in [
        "event_count",
        "login_attempts",
        "login_successes",
        "command_count",
        "download_count",
        "upload_count",
        "forward_count",
        "bytes",
    ] {
        hub.psql(&format!("update sessions set {column} = {column} + 1 where session = '000000000005'"));
        finds(&hub, &writer, "wrong", &[&format!("session 000000000005: {column} is")]);
        hub.psql(&format!("update sessions set {column} = {column} - 1 where session = '000000000005'"));
    }
    hub.psql("update events set payload = payload || '{\"username\": \"x\"}' where event_id = (select event_id from saved)");
    finds(&hub, &writer, "wrong", &[&id]);
    hub.psql("update events e set payload = s.payload from saved s where e.event_id = s.event_id");
    hub.psql("update sensors set event_count = event_count + 1");
    finds(&hub, &writer, "wrong", &["sensor s"]);
    hub.psql("update sensors set event_count = event_count - 1");

    for (table, column) in [
        ("commands", "input"),
        ("login_attempts", "password"),
        ("downloads", "url"),
        ("forwards", "dst_host"),
        ("client_fingerprints", "version"),
    ] {
        hub.psql(&format!("create table side as select * from {table} order by event_id limit 1"));
        let id = hub.psql("select replace(event_id::text, '-', '') from side").trim().to_owned();
        hub.psql(&format!(
            "update {table} set {column} = 'another' where event_id = (select event_id from side)"
        ));
        finds(&hub, &writer, "wrong", &[&format!("{table}: event {id} differs")]);
        hub.psql(&format!("delete from {table} where event_id = (select event_id from side)"));
        finds(&hub, &writer, "wrong", &[&format!("{table}: event {id} has no row")]);
        hub.psql(&format!(
            "insert into {table} select * from side; update side set event_id = '11111111-2222-3333-4444-555555555555'; insert into {table} select * from side"
        ));
        finds(
            &hub,
            &writer,
            "wrong",
            &[&format!("{table}: event 11111111222233334444555555555555 has a row without")],
        );
        hub.psql(&format!(
            "delete from {table} where event_id = (select event_id from side); drop table side"
        ));
    }
    hub.assert_verified(&writer.path);

    // Missing windows are not wrong until the leader has checked for earlier events.
    eventually("there is nothing from before", || {
        hub.count("select count(*) from features_backfill where finished_at is not null") == 1
    });
    hub.psql("create table saved_features as select * from session_features where session = '000000000005'");
    for (change, said) in [
        (
            "update session_features set vector[3] = vector[3] + 0.01 where session = '000000000005'",
            "session 000000000005 of s: the vector is another one",
        ),
        (
            "update session_features set profile[1] = 0.5 where session = '000000000005'",
            "session 000000000005 of s: the profile is another one",
        ),
        (
            "update session_features set sequence = '\\x00' where session = '000000000005'",
            "session 000000000005 of s: the sequence of commands is another one",
        ),
        ("delete from session_features where session = '000000000005'", "session 000000000005 of s: no row"),
        (
            "insert into session_features select 's', 'ghost', version, vector from saved_features",
            "session ghost of s: a row without a session",
        ),
    ] {
        hub.psql(change);
        finds(&hub, &writer, "wrong", &[said]);
        hub.psql("delete from session_features where session in ('000000000005', 'ghost'); insert into session_features select * from saved_features");
    }
    hub.assert_verified(&writer.path);

    // A line is cut in the middle, at the end, and at the start.
    let whole = fs::read_to_string(&writer.path).unwrap();
    let lines: Vec<_> = whole.lines().collect();
    for cut in [lines.len() / 2, lines.len() - 1, 0] {
        let rest: Vec<_> =
            lines.iter().enumerate().filter(|(n, _)| *n != cut).map(|(_, line)| *line).collect();
        fs::write(&writer.path, rest.join("\n") + "\n").unwrap();
        finds(&hub, &writer, "extra", &["event"]);
    }
    fs::write(&writer.path, whole).unwrap();
    hub.assert_verified(&writer.path);
}

/// Asserts that `verify` exits with 1 and prints these names.
fn finds(hub: &Hub, writer: &Writer, kind: &str, names: &[&str]) {
    let out =
        hub.command(&["verify", "--sensor", "s", "--log", writer.path.to_str().unwrap()]).output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout);
    assert_eq!(out.status.code(), Some(1), "{text}{}", String::from_utf8_lossy(&out.stderr));
    assert!(!text.contains(&format!("{kind}: 0\n")), "nothing {kind}: {text}");
    for name in names {
        assert!(text.contains(name), "{name} is not named: {text}");
    }
}

/// An event is stored although a side row with its key exists already.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_stored_although_its_side_row_is_there() {
    let hub = Hub::start().await;
    let line = r#"{"eventid":"cowrie.command.input","input":"id","session":"a","src_ip":"192.0.2.1","timestamp":"2024-01-01T00:00:00Z"}"#;
    let log = hub.dir.path().join("cowrie.json");
    fs::write(&log, format!("{line}\n")).unwrap();
    let id = events::EventId::of(&"s".parse().unwrap(), line.as_bytes());
    hub.psql(&format!("insert into commands (event_id, sensor, ts, kind, input) values ('{id}', 's', '2024-01-01', 'input', 'ls')"));
    let (_processor, _loader) = (hub.processor(&[]), hub.loader(&log));
    hub.wait_for_receipts(&log);
    assert_eq!((hub.events(), hub.count("select count(*) from dead_letters")), (1, 0));
    let out = hub.command(&["verify", "--sensor", "s", "--log", log.to_str().unwrap()]).output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(text.contains(&format!("commands: event {id} differs")), "{text}");
}

/// A database of the first release, with rows in it, becomes equal to a new one.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_with_events_gets_its_side_tables() {
    let hub = Hub::start().await;
    let mut writer = Writer::new(hub.dir.path().join("cowrie.json"));
    writer.append(400);
    fs::OpenOptions::new()
        .append(true)
        .open(&writer.path)
        .and_then(|mut file| {
            file.write_all(b"{\"eventid\":\"cowrie.server.kex\",\"timestamp\":\"2023-11-14T22:13:20Z\"}\n")
        })
        .unwrap();
    {
        let (_processor, _loader) = (hub.processor(&[]), hub.loader(&writer.path));
        hub.wait_for_events(writer.events + 1);
        hub.wait_for_receipts(&writer.path);
    }
    let before = dump(&hub.database_url);
    hub.psql(
        "drop table commands, login_attempts, downloads, forwards, client_fingerprints cascade;
        do $$ declare f text; begin
            drop table jobs, job_results, job_events, diagnostic_steps, workers, paused_queues, exclusive_queues, schedules cascade;
            drop function job_changes, job_changed;
            drop type job_state;
            drop table api_keys, api_key_days, audit_log;
            drop index sessions_sensor_started, sessions_src_ip_started;
            drop table finding_triage, signal_marks, episodes, finding_sessions, findings, longtail_parts, longtail_models, longtail_scores, session_features, command_sequences, feature_elements, features_backfill cascade;
            drop table feature_panes, pane_touches, pane_visits, pane_retention, pane_backfill, leases cascade;
            drop type pane_dimension, pane_grain cascade;
            drop aggregate sketch_union(bigint[]);
            for f in select oid::regprocedure from pg_proc
                where pronamespace = 'public'::regnamespace and proname ~ '^(panes_add_day|pane_key|sketch_.*|credential_key|json_text|event_keys|window_.*|(hour|day)_(of|from))$' loop
                execute 'drop function if exists ' || f || ' cascade';
            end loop;
            for f in select oid::regprocedure from pg_proc where proname ~ '^(json_(int|bool)|text_inet(_checked)?|python_text)$' loop
                execute 'drop function ' || f;
            end loop;
        end $$;
        alter table sensors drop column unknown_count;
        alter table deliveries drop column late, drop column last_live_at;
        create index outbox_published on outbox (published_at);
        delete from _sqlx_migrations where version > 1",
    );
    hub.run(&["migrate"]);
    assert_eq!(hub.count("select unknown_count from sensors"), 1);
    let verified = hub.run(&["verify", "--sensor", "s", "--log", writer.path.to_str().unwrap()]);
    let text = String::from_utf8_lossy(&verified.stdout);
    assert!(text.contains("windows of 1 days") && text.contains("features of 37 sessions"), "{text}");

    // The windows are added by the command,
    let windows = "select events from window_features('all', '', '90 days', (select max(ts) from events))";
    let all = writer.events + 1;
    assert_eq!(hub.count(windows), 0);
    let backfill = |arguments: &[&str]| -> serde_json::Value {
        serde_json::from_slice(&hub.run(arguments).stdout).unwrap()
    };
    let done = backfill(&["backfill", "--json"]);
    assert_eq!(
        (&done["days"], &done["ended"], &done["with_features"]),
        (&1.into(), &37.into(), &37.into()),
        "{done}"
    );
    assert_eq!(hub.count(windows), all);
    assert!(dump(&hub.database_url) == before, "the features are others");
    hub.psql("update session_features set vector[1] = 7");
    assert_eq!(backfill(&["backfill", "--json"])["sessions"], 0);
    assert_eq!(backfill(&["backfill", "--json", "--again"])["sessions"], done["sessions"]);
    assert!(dump(&hub.database_url) == before, "the features are others");
    hub.assert_verified(&writer.path);

    // or by the next processor.
    hub.psql("insert into pane_backfill select distinct ts::date, now() from events; truncate feature_panes, session_features, features_backfill");
    let _processor = hub.processor(&[]);
    eventually("the windows hold the earlier events", || hub.count(windows) == all);
    eventually("the features are there", || {
        hub.count("select count(*) from features_backfill where finished_at is not null") == 1
    });
    assert!(dump(&hub.database_url) == before, "the features are others");
    hub.assert_verified(&writer.path);
    hub.psql("update feature_panes set events = events + 1 where dimension = 'sensor'");
    finds(&hub, &writer, "wrong", &["window sensor \"s\", day: events is"]);
}

/// Postgres answers for a large database with parallel workers, which forbid some operations.
#[tokio::test(flavor = "multi_thread")]
async fn verify_agrees_where_postgres_works_in_parallel() {
    let hub = Hub::start().await;
    let mut writer = Writer::new(hub.dir.path().join("cowrie.json"));
    writer.append(400);
    let (_processor, _loader) = (hub.processor(&[]), hub.loader(&writer.path));
    hub.wait_for_events(writer.events);
    for setting in [
        "parallel_setup_cost",
        "parallel_tuple_cost",
        "min_parallel_table_scan_size",
        "min_parallel_index_scan_size",
    ] {
        hub.psql(&format!(
            "do $$ begin execute format('alter database %I set {setting} = 0', current_database()); end $$"
        ));
    }
    hub.psql("analyze events");
    assert!(hub.psql("explain select count(*) from events").contains("Workers Planned"));
    hub.assert_verified(&writer.path);
}
