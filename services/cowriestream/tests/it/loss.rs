//! A broker or a database loses data: everything still arrives exactly once, without manual intervention.

use std::{fs, path::Path, process::Command};

use rustix::process::Signal;

use crate::harness::{Hub, Process, Writer, eventually};

const BEFORE: u64 = 2_000;
const AFTER: u64 = 15_000;

struct Scene {
    hub: Hub,
    writer: Writer,
    processor: Process,
    _loader: Process,
}

/// A hub whose loader and processor have processed some events.
async fn scene() -> Scene {
    let hub = Hub::start().await;
    let mut writer = Writer::new(hub.dir.path().join("cowrie.json"));
    writer.append(BEFORE);
    let (processor, loader) = (hub.processor(&[]), hub.loader(&writer.path));
    hub.wait_for_events(writer.events);
    Scene { hub, writer, processor, _loader: loader }
}

impl Scene {
    /// Stops the processor while the broker accepts and acknowledges at least 10 000 more events.
    fn strand(&mut self) {
        self.processor.signal(Signal::STOP);
        let before = self.stream_seq();
        self.writer.append(AFTER);
        eventually("the broker has 10 000 events that Postgres has not", || {
            self.stream_seq() >= before + 10_000
        });
        assert_eq!(self.hub.events(), BEFORE as i64);
    }

    fn stream_seq(&self) -> i64 {
        let out = self.hub.run(&["status", "--json"]);
        let status: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
        status["streams"][0]["last_seq"].as_i64().unwrap()
    }

    /// Asserts that everything arrived exactly once.
    fn assert_whole(self) {
        self.processor.signal(Signal::CONT);
        self.hub.wait_for_events(self.writer.events);
        // The dead letters, too.
        self.hub.wait_for_receipts(&self.writer.path);
        self.hub.assert_verified(&self.writer.path);
        assert!(
            self.hub.dump() == self.hub.undisturbed(&self.writer.path),
            "the rows differ from those of an undisturbed run"
        );
    }
}

fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(done.success());
}

fn replace(old: &Path, with: &Path) {
    fs::remove_dir_all(old).unwrap();
    copy(with, old);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_broker_store_heals() {
    let mut scene = scene().await;
    scene.strand();
    scene.hub.rob_nats(|store| fs::remove_dir_all(store).unwrap()).await;
    scene.assert_whole();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_broker_store_heals() {
    let mut scene = scene().await;
    let older = scene.hub.dir.path().join("older");
    scene.hub.rob_nats(|store| copy(store, &older)).await;
    scene.strand();
    scene.hub.rob_nats(|store| replace(store, &older)).await;
    scene.assert_whole();
}

#[tokio::test(flavor = "multi_thread")]
async fn older_message_blocks_under_a_newer_consumer_heal() {
    let mut scene = scene().await;
    let older = scene.hub.dir.path().join("older");
    scene.hub.rob_nats(|store| copy(store, &older)).await;
    // The consumer must be ahead of the old blocks before events are stranded.
    scene.writer.append(1_000);
    scene.hub.wait_for_events(scene.writer.events);
    scene.processor.signal(Signal::STOP);
    let before = scene.stream_seq();
    scene.writer.append(AFTER);
    eventually("the broker has 10 000 events that Postgres has not", || {
        scene.stream_seq() >= before + 10_000
    });
    let blocks = Path::new("$G/streams/EVENTS/msgs");
    scene.hub.rob_nats(|store| replace(&store.join(blocks), &older.join(blocks))).await;
    scene.assert_whole();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_restored_from_a_copy_heals() {
    let mut scene = scene().await;
    let older = scene.hub.dir.path().join("older");
    scene.hub.rob_postgres(|data| copy(data, &older)).await;
    scene.writer.append(5_000);
    scene.hub.wait_for_events(scene.writer.events);
    scene.hub.rob_postgres(|data| replace(data, &older)).await;
    scene.assert_whole();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_stops_under_load_costs_nothing() {
    let mut scene = scene().await;
    for _ in 0..3 {
        let before = scene.hub.events();
        scene.writer.append(AFTER);
        eventually("some of it is committed", || scene.hub.events() > before);
        scene.hub.rob_postgres(|_| ()).await;
    }
    scene.assert_whole();
}
