use std::{
    collections::{BTreeMap, HashSet},
    fs,
    net::IpAddr,
};

use events::{Record, SensorId};
use loadtest::generate::{Generator, Log, Made, Plan, cowrie::Cowrie};
use serde_json::Value;

fn made(seed: u64, n: usize) -> Vec<Made> {
    Generator::new(Plan { seed, ..Plan::default() }).take(n).collect()
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let first = made(7, 20_000);
    assert!(first == made(7, 20_000));
    let mut by_hand = Generator::new(Plan { seed: 7, ..Plan::default() });
    assert!(first.iter().all(|line| by_hand.next().as_ref() == Some(line)));
    let known: HashSet<_> = first.iter().map(|made| &made.line).collect();
    assert!(made(8, 20_000).iter().all(|made| !known.contains(&made.line)));
}

/// Scores of a seed stay comparable only while its log stays the same. If you change the log, change this
/// hash and say so.
#[test]
fn the_log_of_a_seed_is_the_one_it_always_was() {
    let fnv = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = made(1, 20_000).iter().flat_map(|made| &made.line).fold(0xcbf2_9ce4_8422_2325, fnv);
    assert_eq!(format!("{hash:016x}"), "07afcbbeb6047f70");
}

#[test]
fn every_line_is_an_event_in_order_and_every_session_begins_with_its_connection() {
    let lines = made(3, 60_000);
    let sensor: SensorId = "made".parse().unwrap();
    let (mut last, mut sessions, mut sensors, mut distinct) =
        (BTreeMap::new(), HashSet::new(), HashSet::new(), HashSet::new());
    for Made { sensor: number, at_micros, line } in &lines {
        assert!(line.iter().all(|c| matches!(c, b' '..=b'~')), "{}", String::from_utf8_lossy(line));
        let record = Record::read(&sensor, line).unwrap();
        let event: Value = serde_json::from_slice(line).unwrap();
        assert_eq!(record.ts, Some(*at_micros));
        assert!(
            record.src_ip.is_some_and(|address| !address.is_loopback()),
            "{}",
            String::from_utf8_lossy(line)
        );
        assert!(last.insert(*number, *at_micros).is_none_or(|before| before <= *at_micros));
        let new = sessions.insert((*number, record.session.unwrap()));
        assert_eq!(new, record.eventid == "cowrie.session.connect", "{}", String::from_utf8_lossy(line));
        assert!(distinct.insert(line), "a line twice: {}", String::from_utf8_lossy(line));
        sensors.insert(event["sensor"].as_str().unwrap().to_owned());
    }
    assert_eq!(sensors, (1..=6).map(|n| format!("sensor-{n:02}")).collect());
}

#[test]
fn addresses_are_public_and_some_are_ipv6() {
    let sources: HashSet<String> = made(3, 100_000)
        .iter()
        .map(|made| {
            serde_json::from_slice::<Value>(&made.line).unwrap()["src_ip"].as_str().unwrap().to_owned()
        })
        .collect();
    let (v6, v4): (Vec<_>, Vec<_>) =
        sources.iter().map(|source| source.parse::<IpAddr>().unwrap()).partition(IpAddr::is_ipv6);
    assert!(!v6.is_empty() && v4.len() > 1000);
    for address in v4 {
        let IpAddr::V4(address) = address else { unreachable!("the others are apart") };
        assert!(
            !(address.is_private()
                || address.is_loopback()
                || address.is_link_local()
                || address.is_multicast()
                || address.is_documentation()),
            "{address}"
        );
    }
}

#[test]
fn hostile_bytes_are_in_it() {
    let all: Vec<u8> = made(3, 100_000).into_iter().flat_map(|made| made.line).collect();
    let text = String::from_utf8(all).unwrap();
    for needle in [
        r"\u0000",
        r"\ud83d\ude00",
        r"\u0016\u0003\u0001",
        r"b'\\xcc\\xd1'",
        r"\\x16\\x03\\x01",
        r#"\""#,
        r"\r",
        "mstshash",
    ] {
        assert!(text.contains(needle), "{needle}");
    }
}

#[test]
fn a_plan_keeps_its_rate_from_the_beginning() {
    for rate in [20.0, 2000.0] {
        let plan = Plan { rate, ..Plan::default() };
        let lines: Vec<Made> = Generator::new(plan.clone()).take(200_000).collect();
        let seconds = (lines.last().unwrap().at_micros - plan.start) as f64 / 1e6;
        let kept = lines.len() as f64 / seconds / rate;
        assert!((0.75..1.25).contains(&kept), "{kept} of {rate} events/s");
    }
}

#[test]
fn a_log_is_rotated_at_midnight_under_the_name_that_its_version_gives() {
    for (cowrie, names) in [
        (Cowrie::V1_3, ["cowrie.json", "cowrie.json.2024_3_1", "cowrie.json.2024_3_2"]),
        (Cowrie::V3_0_12, ["cowrie.json", "cowrie.json.2024-03-01", "cowrie.json.2024-03-02"]),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let plan = Plan { sensors: 1, cowrie: Some(cowrie), rate: 0.05, ..Plan::default() };
        let (end, mut log) =
            (plan.start + 3 * 86_400_000_000, Log::open(directory.path(), cowrie, false).unwrap());
        let lines: Vec<Made> = Generator::new(plan).take_while(|made| made.at_micros < end).collect();
        lines.iter().for_each(|made| log.write(made.at_micros, &made.line).unwrap());
        log.flush().unwrap();
        let mut found: Vec<_> = fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        found.sort();
        assert_eq!(found, names);
        let read = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();
        for (name, day) in names.iter().zip(["2024-03-03", "2024-03-01", "2024-03-02"]) {
            assert!(read(name).lines().all(|line| line.contains(&format!("{day}T"))), "{name}");
        }
        let whole = [names[1], names[2], names[0]].map(read).concat();
        assert!(whole.lines().map(str::as_bytes).eq(lines.iter().map(|made| made.line.as_slice())));
    }
}

#[test]
fn a_log_written_token_by_token_is_the_same_log() {
    let directory = tempfile::tempdir().unwrap();
    let plan = Plan { sensors: 1, cowrie: Some(Cowrie::V1_3), ..Plan::default() };
    let mut log = Log::open(directory.path(), Cowrie::V1_3, true).unwrap();
    let lines: Vec<Made> = Generator::new(plan).take(500).collect();
    lines.iter().for_each(|made| log.write(made.at_micros, &made.line).unwrap());
    let written = fs::read(directory.path().join("cowrie.json")).unwrap();
    assert_eq!(
        written,
        lines.iter().flat_map(|made| [made.line.as_slice(), b"\n"].concat()).collect::<Vec<_>>()
    );
}
