//! Whichever process is killed, nothing is lost and nothing is counted twice.

use crate::harness::{Hub, Writer, eventually};

/// Rounds in the gate; `KILL_ROUNDS=50` runs more.
const ROUNDS: u64 = 12;
const EVENTS_A_ROUND: u64 = 3_000;

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_at_random_points_changes_nothing() {
    let rounds =
        std::env::var("KILL_ROUNDS").map_or(ROUNDS, |text| text.parse().expect("a number of rounds"));
    let hub = Hub::start().await;
    let mut writer = Writer::new(hub.dir.path().join("cowrie.json"));
    // Small batches give more moments for a kill, and more time.
    let settings = [("COWRIESTREAM_BATCH", "20"), ("COWRIESTREAM_WRITERS", "1")];
    writer.append(100);
    let (mut loader, mut processor) = (hub.loader(&writer.path), hub.processor(&settings));
    hub.wait_for_events(writer.events);
    let (mut random, mut with_duplicates, mut in_the_middle) = (0x9e37_79b9_7f4a_7c15_u64, 0, 0);
    for round in 0..rounds {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (before, duplicates) = (hub.events(), duplicates(&hub));
        writer.append(EVENTS_A_ROUND);
        let target = before + 1 + (random >> 33) as i64 % (EVENTS_A_ROUND as i64 / 2);
        eventually("some of the round is committed", || hub.events() >= target);
        let size = std::fs::metadata(&writer.path).unwrap().len() as i64;
        let mut look = || {
            in_the_middle +=
                u64::from(hub.count("select coalesce(max(upper(committed)), 0) from loader_files") < size)
        };
        match round % 3 {
            0 => {
                loader.kill();
                look();
                loader = hub.loader(&writer.path);
            }
            1 => {
                processor.kill();
                look();
                processor = hub.processor(&settings);
            }
            _ => {
                loader.kill();
                processor.kill();
                look();
                (loader, processor) = (hub.loader(&writer.path), hub.processor(&settings));
            }
        }
        hub.wait_for_events(writer.events);
        with_duplicates += u64::from(duplicates < self::duplicates(&hub));
    }
    println!(
        "{rounds} rounds, {in_the_middle} killed in the middle, {} events, duplicates seen and absorbed in {with_duplicates} rounds ({} in all)",
        writer.events,
        duplicates(&hub)
    );
    assert!(
        in_the_middle * 10 >= rounds * 8,
        "in only {in_the_middle} of {rounds} rounds was anything left to commit"
    );
    assert!(with_duplicates * 10 >= rounds * 8, "duplicates in only {with_duplicates} of {rounds} rounds");
    hub.assert_verified(&writer.path);
    assert!(hub.dump() == hub.undisturbed(&writer.path), "the rows differ from those of an undisturbed run");
}

fn duplicates(hub: &Hub) -> i64 {
    hub.count("select coalesce(sum(duplicates), 0) from deliveries")
}
