use std::collections::{HashMap, HashSet};

use loadtest::{
    generate::{Generator, Made, Plan},
    plant::{Plant, Planted, Recipe, Scene, Truth, Wanted},
};
use serde_json::Value;

const DAY: i64 = 86_400_000_000;

fn plan(seed: u64) -> Plan {
    Plan { seed, rate: 0.08, apart: true, ..Plan::default() }
}

/// Returns the log of three days with every plant, and a quarter of a day more for sessions to end.
fn log(seed: u64) -> (Vec<Made>, Truth) {
    let end = Plan::default().start + 3 * DAY;
    let log = Planted::new(plan(seed), end, &"all".parse().unwrap());
    let truth = log.truth().clone();
    (log.take_while(|made| made.at_micros < end + DAY / 4).collect(), truth)
}

/// Returns the source of each session that has an event `eventid`.
fn sessions(lines: &[Made], eventid: &str) -> HashMap<(String, String), String> {
    let events = lines.iter().map(|made| serde_json::from_slice::<Value>(&made.line).unwrap());
    let text = |event: &Value, key: &str| event[key].as_str().unwrap().to_owned();
    events
        .filter(|event| event["eventid"] == eventid)
        .map(|event| ((text(&event, "sensor"), text(&event, "session")), text(&event, "src_ip")))
        .collect()
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_the_same_truth_and_another_seed_others() {
    let (first, again, other) = (log(7), log(7), log(8));
    assert!(first == again);
    assert!(first.1.campaigns != other.1.campaigns);
    let known: HashSet<_> = first.0.iter().map(|made| &made.line).collect();
    assert!(other.0.iter().all(|made| !known.contains(&made.line)));
}

#[test]
fn the_truth_names_sessions_and_addresses_that_are_in_the_log() {
    let (lines, truth) = log(3);
    let sessions = sessions(&lines, "cowrie.session.connect");
    for campaign in &truth.campaigns {
        let sources: HashSet<&String> = campaign.sessions.iter().map(|name| &sessions[name]).collect();
        assert_eq!(sources, campaign.addresses.iter().collect(), "{}", campaign.id);
        assert!(
            campaign.addresses.len() >= 3 && campaign.from >= truth.start && campaign.to < truth.end,
            "{}",
            campaign.id
        );
    }
    assert_eq!(truth.campaigns.len(), 7);
    assert!(
        truth
            .anomalies
            .iter()
            .all(|anomaly| sessions.contains_key(&(anomaly.sensor.clone(), anomaly.session.clone())))
    );
    let classes: HashSet<&str> = truth.anomalies.iter().map(|anomaly| anomaly.class.as_str()).collect();
    assert_eq!(classes, HashSet::from(["intruder", "payload", "emerging", "odd"]));
}

#[test]
fn what_is_planted_changes_no_line_of_the_background() {
    let end = Plan::default().start + DAY;
    let wanted: Wanted = "snowshoe=2,intruders=5".parse().unwrap();
    let planted: Vec<Made> =
        Planted::new(plan(4), end, &wanted).take_while(|made| made.at_micros < end).collect();
    let alone: Vec<Made> = Generator::new(plan(4)).take_while(|made| made.at_micros < end).collect();
    let mut rest = planted.iter();
    assert!(alone.iter().all(|line| rest.any(|other| other == line)), "in the same order");
    assert!(planted.len() > alone.len());
}

#[test]
fn planted_lines_are_events_in_order_and_no_line_is_there_twice() {
    let (lines, _) = log(5);
    let sensor: events::SensorId = "made".parse().unwrap();
    assert!(lines.windows(2).all(|pair| pair[0].at_micros <= pair[1].at_micros));
    assert!(
        lines
            .iter()
            .all(|made| events::Record::read(&sensor, &made.line).unwrap().ts == Some(made.at_micros))
    );
    assert_eq!(lines.iter().map(|made| (made.sensor, &made.line)).collect::<HashSet<_>>().len(), lines.len());
}

#[test]
fn members_of_a_snowshoe_stay_below_ten_sessions_in_ten_minutes() {
    let end = Plan::default().start + 5 * DAY;
    let log = Planted::new(plan(6), end, &Wanted([(Plant::Snowshoe, 12)].into()));
    let members: HashSet<String> =
        log.truth().campaigns.iter().flat_map(|campaign| campaign.addresses.clone()).collect();
    let mut starts: HashMap<String, Vec<i64>> = HashMap::new();
    for made in log.take_while(|made| made.at_micros < end) {
        let event: Value = serde_json::from_slice(&made.line).unwrap();
        let source = event["src_ip"].as_str().unwrap();
        if event["eventid"] == "cowrie.session.connect" && members.contains(source) {
            starts.entry(source.to_owned()).or_default().push(made.at_micros);
        }
    }
    assert!(starts.len() > 100);
    assert!(starts.values().all(|starts| starts.windows(10).all(|ten| ten[9] - ten[0] > 600_000_000)));
}

#[test]
fn decoys_are_sources_of_the_log_and_change_nothing_else() {
    let end = Plan::default().start + 2 * DAY;
    let made = |wanted: &str| {
        let log = Planted::new(plan(8), end, &wanted.parse().unwrap());
        let truth = log.truth().clone();
        (log.take_while(|made| made.at_micros < end).collect::<Vec<Made>>(), truth)
    };
    let (without, truth) = made("snowshoe=1,botnet=1");
    let (with, with_truth) = made("snowshoe=1,botnet=1,decoys=4");
    assert_eq!(with_truth.campaigns, truth.campaigns);
    let mut rest = with.iter();
    assert!(without.iter().all(|line| rest.any(|other| other == line)), "in the same order");
    let sources: HashSet<String> = sessions(&with, "cowrie.session.connect").into_values().collect();
    assert_eq!(with_truth.decoys.len(), 4);
    for decoys in &with_truth.decoys {
        assert!(decoys.addresses.len() >= 8, "{}", decoys.what);
        for address in &decoys.addresses {
            assert!(sources.contains(address), "{}", decoys.what);
            assert!(truth.campaigns.iter().all(|campaign| !campaign.addresses.contains(address)));
        }
    }
}

#[test]
fn clean_days_have_a_crowd_and_no_plant() {
    let recipe = Recipe::of(Scene::Clean, 9);
    let log = recipe.log();
    assert!(
        log.truth().campaigns.is_empty() && log.truth().anomalies.is_empty() && log.truth().crowd.len() > 100
    );
}
