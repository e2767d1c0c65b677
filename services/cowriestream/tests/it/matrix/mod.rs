//! The matrix: everything that happens to a log × `kill -9` of the loader at a random moment. The oracle is
//! the writer's own list of events.
//!
//! `MATRIX_REPEATS=100 cargo test -p cowriestream --test it matrix -- --nocapture` repeats it more often;
//! `MATRIX_CASE=midnight` runs the cases whose name contains that; `MATRIX_AGAINST=rsyslog` runs another
//! shipper through the same.

mod cases;
mod cowrie;
mod shippers;

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use cases::Case;
use cowrie::Cowrie;
use shippers::{Delivered, Shipper};

use crate::harness::Hub;

/// Concurrent runs of a case; they mostly wait.
const TOGETHER: usize = 6;
/// Rounds of writing in a run; the case happens after each.
const ROUNDS: u64 = 6;

/// The sum over the runs of a case.
#[derive(Default, Debug)]
struct Sum {
    repeats: u64,
    events: u64,
    lost: u64,
    doubled: u64,
    dead: u64,
    dead_expected: u64,
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_and_nothing_doubled() {
    let repeats: u64 = std::env::var("MATRIX_REPEATS").map_or(4, |n| n.parse().unwrap());
    let wanted = std::env::var("MATRIX_CASE").unwrap_or_default();
    let hub = Hub::start().await;
    let _processor = hub.processor(&[]);
    let shippers = shippers::under_test(&hub);
    let version = shippers.version();
    let cases: Vec<_> = Case::ALL.into_iter().filter(|case| case.name().contains(&wanted)).collect();
    let runs: Vec<(Case, u64)> =
        (0..repeats).flat_map(|n| cases.iter().map(move |case| (*case, n))).collect();
    let (next, results) = (AtomicUsize::new(0), std::sync::Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..TOGETHER {
            scope.spawn(|| {
                while let Some(&(case, n)) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = run(&shippers, case, n);
                    results.lock().unwrap().push((case.name(), result));
                }
            });
        }
    });
    let mut sums = BTreeMap::<&str, Sum>::new();
    for (name, result) in results.into_inner().unwrap() {
        let sum = sums.entry(name).or_default();
        sum.repeats += 1;
        sum.events += result.events;
        sum.lost += result.lost;
        sum.doubled += result.doubled;
        sum.dead += result.dead;
        sum.dead_expected += result.dead_expected;
    }
    println!(
        "{version}, killed at a random moment\n{:<40} {:>8} {:>8} {:>8} {:>8} {:>6}",
        "case", "repeats", "events", "lost", "doubled", "dead"
    );
    for case in &cases {
        let sum = &sums[case.name()];
        println!(
            "{:<40} {:>8} {:>8} {:>8} {:>8} {:>6}",
            case.name(),
            sum.repeats,
            sum.events,
            sum.lost,
            sum.doubled,
            sum.dead
        );
    }
    if shippers.ours() {
        for (name, sum) in &sums {
            assert_eq!((sum.lost, sum.doubled, sum.dead), (0, 0, sum.dead_expected), "{name}");
        }
    }
}

/// One run: rounds of writing, a kill at a random moment, a later start, and the count at the end.
fn run(shippers: &Shipper, case: Case, n: u64) -> Sum {
    let dir = crate::harness::directory();
    let mut cowrie = Cowrie::new(&dir.path().join("cowrie.json"), n * 1000 + case as u64);
    if case.is_linked() {
        std::fs::rename(&cowrie.path, dir.path().join("log")).unwrap();
        std::os::unix::fs::symlink(dir.path().join("log"), &cowrie.path).unwrap();
    }
    let sensor = format!("{case:?}-{n}");
    let mut site = shippers.site(&sensor, dir.path());
    let mut running = Some(site.start());
    // In tenths of a round.
    let killed = cowrie.dice.roll(ROUNDS * 10);
    let started = killed + cowrie.dice.roll(ROUNDS * 10);
    let mut happened = 0;
    for moment in 0..ROUNDS * 10 {
        if moment == killed {
            running = None;
        }
        if moment == started {
            running = Some(site.start());
        }
        let events = cowrie.dice.roll(8);
        cowrie.write_events(events);
        // The shipper reaches a different point each time.
        std::thread::sleep(Duration::from_millis(cowrie.dice.roll(20)));
        if moment % 10 == 9 {
            if case.destroys() {
                running.get_or_insert_with(|| site.start());
                site.wait_for(&cowrie.written);
            }
            case.happen(&mut cowrie, happened);
            happened += 1;
        }
    }
    // A glued line ends with an event.
    cowrie.write_events(1);
    running.get_or_insert_with(|| site.start());
    let Delivered { lost, doubled, dead } = site.settle(&cowrie.written, case.dead_letters() * happened);
    if n == 0 && !case.hides() {
        site.assert_verified();
    }
    Sum {
        repeats: 1,
        events: cowrie.written.len() as u64,
        lost,
        doubled,
        dead,
        dead_expected: case.dead_letters() * happened,
    }
}
