//! A processor with its servers, and a publisher in the place of the loader.

use std::time::Duration;

use boot::{Health, Tasks};
use bus::{
    Bus, BusArgs, EventMessage,
    topology::{DEAD, EVENTS, TopologyArgs},
};
use events::{Announcement, DeadLetter, EventId, EventName, FileId, Fingerprint, SensorId, Source};
use processor::{Args, Parts, Retention};
use servers::testing::{Backend, directory, psql};
use store::{Store, StoreArgs};

/// The limit for stopping a role.
const STOP_LIMIT: Duration = Duration::from_secs(25);

const TOPOLOGY: TopologyArgs = TopologyArgs { replicas: 1, events_max_bytes: 64 << 20, ack_wait_seconds: 5 };

pub struct Site {
    pub bus: Bus,
    pub sensor: SensorId,
    store: Store,
    pub postgres: Backend,
    _nats: Backend,
    _directory: tempfile::TempDir,
}

/// A processor of a [`Site`].
pub struct Processor {
    process: Tasks,
    tasks: Tasks,
}

impl Site {
    pub async fn start() -> Self {
        let directory = directory();
        let nats = Backend::nats(&directory.path().join("n")).await;
        let postgres = Backend::postgres(&directory.path().join("p")).await;
        let args = StoreArgs { database_url: Some(postgres.url()), database_connections: 8 };
        let store = Store::connect(&args).await.unwrap();
        store.migrate().await.unwrap();
        let args = BusArgs { nats_url: Some(nats.url()), nats_creds: None };
        let bus = Bus::connect(&args, "test").await.unwrap();
        bus.provision(&TOPOLOGY).await.unwrap();
        let sensor = "fra".parse().unwrap();
        Self { bus, sensor, store, postgres, _nats: nats, _directory: directory }
    }

    pub async fn processor(&self) -> Processor {
        let args = Args {
            batch: 5_000,
            batch_bytes: 16 << 20,
            writers: 2,
            dead_letters_max_bytes: 256 << 20,
            retention: Retention { keep_minutes_days: None, keep_hours_days: None },
            rules: None,
            without_panes: false,
        };
        let process = Tasks::default();
        let tasks = process.detached();
        let parts = Parts {
            bus: self.bus.clone(),
            store: self.store.clone(),
            topology: TOPOLOGY,
            health: Health::default(),
            tasks: tasks.clone(),
        };
        processor::start(&args, parts).await.unwrap();
        Processor { process, tasks }
    }

    /// Publishes lines as one file, from the first byte on. `attempt` makes message ids of their own, as a
    /// loader does that publishes again.
    pub async fn publish(&self, file: &Announcement, lines: &[String], attempt: u32) {
        let (mut start, mut acks) = (0, Vec::new());
        for line in lines {
            let end = start + line.len() as u64 + 1;
            let eventid = serde_json::from_str::<serde_json::Value>(line).unwrap()["eventid"].clone();
            let message = EventMessage {
                name: EventName::of(eventid.as_str().unwrap()),
                line: line.clone().into(),
                msg_id: format!("{}.{attempt}", EventId::of(&self.sensor, line.as_bytes())),
                source: Some(Source::one(file.file_id, start, end)),
                announce: Some(file.clone()),
                replay: None,
                returns: 0,
                trace: None,
            };
            acks.push(self.bus.publish_event(&self.sensor, message).await.unwrap());
            start = end;
        }
        for ack in acks {
            assert!(!ack.await.unwrap().duplicate);
        }
    }

    pub async fn publish_dead(&self, file: &Announcement, dead: &DeadLetter) {
        self.bus.publish_dead(dead, file, 0, None).await.unwrap().await.unwrap();
    }

    pub fn psql(&self, sql: &str) -> String {
        psql(self.store.url(), sql).trim().to_owned()
    }

    /// Waits until everything in the streams is acknowledged.
    pub async fn until_acknowledged(&self) {
        for stream in [EVENTS, DEAD] {
            loop {
                let facts = self.bus.consumer(stream).await.unwrap().unwrap();
                if facts.pending == 0 && facts.unacknowledged == 0 {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    /// Waits until a query returns this.
    pub async fn until(&self, sql: &str, expected: &str) {
        while self.psql(sql) != expected {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The number of messages in a stream.
    pub async fn messages(&self, stream: &str) -> u64 {
        self.bus.stream(stream).await.unwrap().unwrap().messages
    }
}

impl Processor {
    /// Stops it; panics if it takes too long, or a task of it failed.
    pub async fn stop(self) {
        self.tasks.stop().cancel();
        tokio::time::timeout(STOP_LIMIT, self.tasks.ended()).await.unwrap();
        assert!(!self.process.stop().is_cancelled(), "no task failed");
    }
}

/// A log of this sensor.
pub fn log(inode: u64) -> Announcement {
    let fingerprint = Fingerprint::of(b"first line");
    Announcement {
        file_id: FileId::of(1, inode, 0, &fingerprint),
        path: format!("/var/log/cowrie/{inode}.json"),
        device: 1,
        inode,
        generation: 0,
        fingerprint,
    }
}

/// The lines of a session that connects, types a command and ends.
pub fn session(id: &str) -> Vec<String> {
    let line = |second: u32, eventid: &str, more: &str| {
        format!(
            r#"{{"eventid":"cowrie.{eventid}","session":"{id}","src_ip":"203.0.113.7","sensor":"x","timestamp":"2026-01-02T03:04:{second:02}.000000Z"{more}}}"#
        )
    };
    vec![
        line(5, "session.connect", r#","src_port":4711,"protocol":"ssh""#),
        line(6, "command.input", r#","input":"uname -a""#),
        line(7, "session.closed", r#","duration":2.0"#),
    ]
}

/// The number of bytes of lines in a log.
pub fn length(lines: &[String]) -> u64 {
    lines.iter().map(|line| line.len() as u64 + 1).sum()
}
