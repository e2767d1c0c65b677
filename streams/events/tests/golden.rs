//! Repair and identity are frozen: what a line means never changes within a version.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use events::{EventId, Record, SensorId, repair};

#[test]
fn version_2_of_the_repair_is_frozen() {
    assert_eq!(repair::VERSION, 2);
    let sensor: SensorId = "fra-1".parse().unwrap();
    let rows: Vec<_> =
        include_str!("golden/repair-v2.txt").lines().filter(|row| !row.starts_with('#')).collect();
    assert_eq!(rows.len(), 8);
    for row in rows {
        let fields: Vec<_> = row.split('\t').collect();
        let [line, text] = [fields[0], fields[1]].map(|text| serde_json::from_str::<String>(text).unwrap());
        let repaired = repair::without_returns(line.as_bytes());
        assert_eq!(repaired, text.as_bytes(), "{row}");
        assert_eq!(Record::read(&sensor, repaired).unwrap().id.to_string(), fields[2], "{row}");
        assert_eq!(EventId::of(&sensor, line.as_bytes()).to_string(), fields[3], "{row}");
    }
}
