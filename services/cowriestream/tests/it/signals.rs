//! Live signals: each finding is published exactly once, whichever process dies, and never for old logs.

use std::{fs, io::Write};

use bus::{Bus, BusArgs};
use chrono::{DateTime, Duration, Utc};
use clap::Parser;
use events::{SensorId, Source};
use processor::{
    Prepared, Windows, keep,
    rules::Rules,
    signals::{Live, judge_marks, judge_silence},
};
use store::{Lease, Store, StoreArgs};

use crate::harness::{Hub, eventually};

const RULES: &str = r#"
[[rule]]
kind = "activity"
name = "busy-net"
title = "A busy network"
severity = "low"
dimension = "src_net"
measure = "sessions"
at_least = 10
window = "15m"

[[rule]]
kind = "activity"
name = "spray"
title = "A new credential"
severity = "medium"
dimension = "credential"
measure = "events"
at_least = 3
distinct_src_ips = 2
window = "15m"
first_seen_within = "7d"

[[rule]]
kind = "silence"
name = "silent"
title = "A silent sensor"
severity = "high"
window = "5m"
usual = 1
usual_over = "1h"
"#;

/// A session.connect and a login.failed from each of these hosts.
fn lines(at: DateTime<Utc>, hosts: std::ops::Range<u32>, password: &str) -> String {
    let at = at.format("%Y-%m-%dT%H:%M:%S%.6fZ");
    hosts
        .map(|host| {
            let more = format!(r#""session":"{host:012x}","src_ip":"203.0.113.{host}","timestamp":"{at}""#);
            format!("{{\"eventid\":\"cowrie.session.connect\",{more}}}\n{{\"eventid\":\"cowrie.login.failed\",\"username\":\"root\",\"password\":\"{password}\",{more}}}\n")
        })
        .collect()
}

async fn commit(store: &Store, text: &str) {
    let (source, sensor) = (Source::default(), "s".parse::<SensorId>().unwrap());
    let batch: Vec<_> =
        text.lines().map(|line| Prepared::of_line(&sensor, line.as_bytes(), None, &source, None)).collect();
    keep(store, &batch, Windows::Kept, Some(&Live::of(&Rules::read(RULES).unwrap())))
        .await
        .map_err(anyhow::Error::from)
        .unwrap();
}

async fn connect(hub: &Hub) -> Store {
    Store::connect(&StoreArgs { database_url: Some(hub.database_url.clone()), database_connections: 4 })
        .await
        .unwrap()
}

async fn judge(store: &Store, lease: &Lease) -> u64 {
    judge_marks(store, &Rules::read(RULES).unwrap(), lease).await.map_err(anyhow::Error::from).unwrap()
}

#[derive(Parser)]
struct Connection {
    #[command(flatten)]
    bus: BusArgs,
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processors_below_the_threshold_make_one_finding_that_no_death_loses() {
    let hub = Hub::start().await;
    let (one, other) = (connect(&hub).await, connect(&hub).await);
    let lease = one.lease("processor", None).await.map_err(anyhow::Error::from).unwrap().unwrap();
    let now = boot::now();

    // Old events fire nothing, and make the credential known.
    commit(&one, &lines(now - Duration::days(3), 100..120, "old")).await;
    assert_eq!(hub.count("select count(*) from signal_marks"), 0);

    commit(&one, &lines(now, 0..6, "hunter2")).await;
    assert_eq!(
        judge(&one, &lease).await,
        1,
        "six sessions are not ten; six tries of a new credential are more than three"
    );
    commit(&other, &lines(now, 6..12, "old")).await;
    // The leader dies before its commit: nothing is lost.
    let mut dying = one.begin().await.map_err(anyhow::Error::from).unwrap();
    assert!(
        !store::findings::signals::take_marks(&mut dying)
            .await
            .map_err(anyhow::Error::from)
            .unwrap()
            .is_empty()
    );
    drop(dying);
    assert_eq!(judge(&other, &lease).await, 1);
    assert_eq!(judge(&one, &lease).await, 0);
    commit(&one, &lines(now, 12..20, "hunter2")).await;
    assert_eq!(judge(&one, &lease).await, 0, "the episodes are open");
    let found = "select rule || ' ' || key || ' ' || (evidence ->> 'value') from findings order by 1";
    assert_eq!(hub.psql(found), "busy-net 203.0.113.0/24 12\nspray root:hunter2 6\n");

    // A processor that has lost its lease writes nothing.
    hub.psql("update leases set epoch = epoch + 1; delete from episodes");
    commit(&one, &lines(now, 20..30, "hunter2")).await;
    assert_eq!(judge(&one, &lease).await, 0);

    // The processor died after it committed the finding: another one publishes it.
    let args = Connection::parse_from(["test", "--nats-url", &hub.nats_url]);
    let bus = Bus::connect(&args.bus, "test").await.unwrap();
    assert_eq!(bus.stream("FINDINGS").await.unwrap().unwrap().messages, 0);
    hub.psql("delete from signal_marks");
    let _processor = hub.processor(&[]);
    eventually("both are published", || {
        hub.count(
            "select count(*) from outbox where subject like 'cowrie.findings.%' and published_at is not null",
        ) == 2
    });
    assert_eq!(bus.stream("FINDINGS").await.unwrap().unwrap().messages, 2);
    let published = hub.psql(
        "select subject, payload ->> 'key' from outbox where subject like 'cowrie.findings.%' order by 1",
    );
    assert_eq!(
        published,
        "cowrie.findings.signal.low.all|203.0.113.0/24\ncowrie.findings.signal.medium.all|root:h… (7 characters)\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sensor_that_was_live_is_missed_once_and_again_when_it_was_back() {
    let hub = Hub::start().await;
    let store = connect(&hub).await;
    let lease = store.lease("processor", None).await.map_err(anyhow::Error::from).unwrap().unwrap();
    let rules = Rules::read(RULES).unwrap();
    let silent = async || judge_silence(&store, &rules, &lease).await.map_err(anyhow::Error::from).unwrap();
    commit(&store, &lines(boot::now() - Duration::days(3), 0..60, "x")).await;
    hub.psql("update deliveries set last_delivery_at = now() - interval '1 hour'");
    assert_eq!(silent().await, 0, "it only had logs of the past");

    commit(&store, &lines(boot::now(), 0..60, "x")).await;
    assert_eq!(silent().await, 0);
    hub.psql("update deliveries set last_live_at = now() - interval '6 minutes'");
    // The window for the usual value ends with the last live event.
    hub.psql("update feature_panes set at = at - interval '10 minutes' where dimension = 'sensor'");
    assert_eq!((silent().await, silent().await), (1, 0));
    assert_eq!(
        hub.psql("select subject from outbox where subject like 'cowrie.findings.%'"),
        "cowrie.findings.signal.high.s\n"
    );
    hub.psql("update deliveries set last_live_at = now()");
    assert_eq!(silent().await, 0);
    hub.psql("update deliveries set last_live_at = now() - interval '6 minutes'");
    assert_eq!(silent().await, 1);
}

/// End to end: a log, a loader, a processor with its own rules, a finding on its subject.
#[tokio::test(flavor = "multi_thread")]
async fn a_live_log_makes_a_finding() {
    let hub = Hub::start().await;
    let rules = hub.dir.path().join("rules.toml");
    fs::write(&rules, RULES).unwrap();
    hub.run(&["rules", rules.to_str().unwrap()]);
    let log = hub.dir.path().join("cowrie.json");
    fs::write(&log, lines(boot::now(), 0..5, "x")).unwrap();
    let settings = [("COWRIESTREAM_RULES", rules.to_str().unwrap())];
    let (_one, _other, _loader) = (hub.processor(&settings), hub.processor(&settings), hub.loader(&log));
    hub.wait_for_events(10);
    fs::OpenOptions::new()
        .append(true)
        .open(&log)
        .unwrap()
        .write_all(lines(boot::now(), 5..25, "x").as_bytes())
        .unwrap();
    eventually("the finding is published", || {
        hub.count(
            "select count(*) from outbox where subject like 'cowrie.findings.%' and published_at is not null",
        ) > 0
    });
    hub.wait_for_events(50);
    eventually("every mark is judged", || hub.count("select count(*) from signal_marks") == 0);
    // There is less than a day of history, so no credential is new.
    assert_eq!(hub.psql("select rule, key from findings"), "busy-net|203.0.113.0/24\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_works_long_renews_its_lease_and_keeps_it() {
    let hub = Hub::start().await;
    let (one, other) = (connect(&hub).await, connect(&hub).await);
    let lease = one.lease("processor", None).await.map_err(anyhow::Error::from).unwrap().unwrap();
    let mut work = one.begin().await.map_err(anyhow::Error::from).unwrap();
    assert!(store::still_holds(&mut work, &lease).await.map_err(anyhow::Error::from).unwrap());
    // A statement that waited for a lock would fail after 10 s.
    let renewed = one.lease("processor", Some(&lease)).await.map_err(anyhow::Error::from).unwrap();
    assert_eq!(renewed.as_ref(), Some(&lease), "the lease is renewed while its holder's transaction runs");

    hub.psql("update leases set expires_at = now() - interval '1 second'");
    let taken = other.lease("processor", None).await.map_err(anyhow::Error::from).unwrap();
    assert_eq!(taken, None, "nobody takes the lease while its holder's transaction runs");
    work.commit().await.unwrap();
    let taken = other.lease("processor", None).await.map_err(anyhow::Error::from).unwrap();
    assert!(taken.is_some(), "the lease is free after that transaction");
    let mut late = one.begin().await.map_err(anyhow::Error::from).unwrap();
    assert!(!store::still_holds(&mut late, &lease).await.map_err(anyhow::Error::from).unwrap());
}
