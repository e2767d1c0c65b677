//! A small batch waits only for its commit, not for a packet that the network delays.

use std::time::{Duration, Instant};

use events::{SensorId, Source};
use processor::{Prepared, Windows, keep};
use store::{Store, StoreArgs};

use crate::harness::Hub;

/// Batches of each kind, taken in turns.
const BATCHES: usize = 25;

#[tokio::test(flavor = "multi_thread")]
async fn windows_and_features_make_a_small_batch_wait_for_no_delayed_acknowledgement() {
    let hub = Hub::start().await;
    let store =
        Store::connect(&StoreArgs { database_url: Some(hub.database_url.clone()), database_connections: 2 })
            .await
            .unwrap();
    let (sensor, source): (SensorId, _) = ("s".parse().unwrap(), Source::default());
    let mut took = [Vec::new(), Vec::new()];
    for n in 0..2 * BATCHES {
        let line = |what: &str| {
            format!(r#"{{"timestamp":"2026-01-26T10:00:00.000000Z","session":"{n:012x}","src_ip":"192.0.2.1",{what}}}"#).into_bytes()
        };
        let lines = [
            line(r#""eventid":"cowrie.session.connect""#),
            line(r#""eventid":"cowrie.command.input","input":"uname -a""#),
            line(r#""eventid":"cowrie.session.closed","duration":1.5"#),
        ];
        let batch: Vec<_> =
            lines.iter().map(|line| Prepared::of_line(&sensor, line, None, &source, None)).collect();
        let windows = if n % 2 == 0 { Windows::Skipped } else { Windows::Kept };
        let started = Instant::now();
        keep(&store, &batch, windows, None).await.map_err(anyhow::Error::from).unwrap();
        took[n % 2].push(started.elapsed());
    }
    let [without, with] = took.map(median);
    println!("a batch without windows takes {without:?}, with them {with:?}");
    assert!(with < 4 * without, "windows and features make a batch take {with:?} instead of {without:?}");
}

fn median(mut all: Vec<Duration>) -> Duration {
    all.sort();
    all[all.len() / 2]
}
