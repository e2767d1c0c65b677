//! Compares the statistics of generated logs with those of the samples.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use loadtest::generate::{
    Generator, Plan,
    compare::{Row, compare},
    kind::Profile,
    learn::distinct_lines,
    observed::Observed,
    profile::LEARNT,
    statistics::Statistics,
};

fn made(plan: Plan) -> Statistics {
    Statistics::of(Generator::new(plan).take(100_000).map(|made| made.line))
}

/// Most of a day, like the samples: sessions of several hours begin and end in it.
fn slow() -> Plan {
    Plan { rate: 2.0, ..Plan::default() }
}

fn table(rows: &[Row]) -> String {
    let head = format!("{:<52} {:>10} {:>10}  tolerance", "statistic", "samples", "made");
    [head].into_iter().chain(rows.iter().map(ToString::to_string)).collect::<Vec<_>>().join("\n")
}

#[test]
fn made_logs_are_like_the_learnt_ones() {
    for seed in 1..=4 {
        let rows = compare(&LEARNT.statistics, &made(Plan { seed, ..slow() }));
        println!("seed {seed}\n{}", table(&rows));
        assert!(rows.iter().all(Row::holds), "{}", table(&rows));
    }
}

#[test]
fn a_log_that_is_not_of_cowrie_is_recognised() {
    let skewed = |profile| made(Plan { weights: BTreeMap::from([(profile, 4.0)]), ..slow() });
    for (profile, statistic) in [
        (Profile::Proxy, "events: direct-tcpip.request"),
        (Profile::Mirai, "sessions over Telnet"),
        (Profile::Human, "sessions with a right login"),
    ] {
        let rows = compare(&LEARNT.statistics, &skewed(profile));
        assert!(rows.iter().any(|row| row.name == statistic && !row.holds()), "{}", table(&rows));
    }
}

#[test]
fn every_event_of_the_samples_is_made() {
    let made = made(slow());
    let missing: Vec<_> =
        LEARNT.statistics.event_shares.keys().filter(|name| !made.event_shares.contains_key(*name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// Beside the checkout; the samples are never part of it.
fn samples() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/samples");
    let place = std::env::var_os("COWRIESTREAM_SAMPLES").map_or(beside, PathBuf::from);
    place.join("EXPECTED.json").exists().then(|| std::fs::canonicalize(place).unwrap())
}

#[test]
fn made_logs_are_like_the_samples_where_they_are_at_hand() {
    let Some(samples) = samples() else { return println!("no samples beside the checkout: skipped") };
    let expected: serde_json::Value =
        serde_json::from_slice(&std::fs::read(samples.join("EXPECTED.json")).unwrap()).unwrap();
    let stored = expected["files"].as_array().unwrap().iter().map(|file| file["stored"].as_str().unwrap());
    let files: Vec<PathBuf> =
        stored.filter(|file| !file.starts_with("replay/")).map(|file| samples.join(file)).collect();
    let mut observed = Observed::default();
    distinct_lines(&files, |line| {
        observed.add(line);
    })
    .unwrap();
    let real = Statistics::observed(observed);
    let rows = compare(&real, &made(slow()));
    println!("{}", table(&rows));
    assert!(rows.iter().all(Row::holds), "{}", table(&rows));
    // The committed profile was learnt from these samples.
    assert!(
        compare(&real, &LEARNT.statistics)
            .iter()
            .all(|row| (row.real - row.made).abs() <= 0.01 * row.real + 1e-9)
    );
}
