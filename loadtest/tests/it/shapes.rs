//! Tests the lines of each version of Cowrie.

use std::collections::HashMap;

use loadtest::generate::{Generator, Plan, cowrie::Cowrie};
use serde_json::Value;

/// Returns some lines of each event of a version, as text and as JSON.
fn lines(cowrie: Cowrie) -> HashMap<String, Vec<(String, Value)>> {
    let plan = Plan { cowrie: Some(cowrie), sensors: 2, ..Plan::default() };
    let mut lines = HashMap::<String, Vec<_>>::new();
    for made in Generator::new(plan).take(60_000) {
        let text = String::from_utf8(made.line).unwrap();
        let event: Value = serde_json::from_str(&text).unwrap();
        let kept = lines.entry(event["eventid"].as_str().unwrap().to_owned()).or_default();
        if kept.len() < 300 {
            kept.push((text, event));
        }
    }
    lines
}

#[test]
fn keys_and_spaces_are_where_the_version_has_them() {
    for cowrie in Cowrie::ALL {
        for (text, _) in lines(cowrie).values().flatten() {
            let begins = match cowrie {
                Cowrie::V1_3 => {
                    text.starts_with("{\"eventid\": \"cowrie.") || text.starts_with("{\"kexAlgs\": [\"")
                }
                Cowrie::V3_0_12 => text.starts_with("{\"session\":\"") && text.contains("\",\"message\":\""),
                _ => text.starts_with("{\"eventid\":\"cowrie."),
            };
            assert!(begins, "{cowrie}: {text}");
        }
    }
}

#[test]
fn protocol_and_uuid_are_on_every_event_from_2_8_on() {
    for cowrie in Cowrie::ALL {
        for (text, event) in lines(cowrie).values().flatten() {
            let newer = cowrie >= Cowrie::V2_8;
            assert_eq!(event["uuid"].is_string(), newer, "{text}");
            if event["eventid"] != "cowrie.session.connect" {
                assert_eq!(event["protocol"].is_string(), newer, "{text}");
            }
            for key in ["session", "src_ip", "sensor", "timestamp", "eventid"] {
                assert!(event[key].is_string(), "{key}: {text}");
            }
            let connected = cowrie == Cowrie::V3_0_12 || event["eventid"] == "cowrie.session.connect";
            assert!(
                !connected
                    || event["src_port"].is_u64()
                        && event["dst_ip"].is_string()
                        && event["dst_port"].is_u64(),
                "{text}"
            );
            assert_eq!(
                event["isError"].is_u64() && event["system"].is_string(),
                cowrie == Cowrie::V1_3,
                "{text}"
            );
        }
    }
}

#[test]
fn durations_have_the_form_of_the_version() {
    for cowrie in Cowrie::ALL {
        let lines = lines(cowrie);
        for (text, event) in lines["cowrie.session.closed"].iter().chain(&lines["cowrie.log.closed"]) {
            let right = match cowrie {
                Cowrie::V1_3 | Cowrie::V1_6 | Cowrie::V2_5 => event["duration"].is_f64(),
                Cowrie::V2_8 => {
                    event["duration"].is_string() != (event["protocol"] == "telnet")
                        && !event["duration"].is_null()
                }
                Cowrie::V3_0_4 | Cowrie::V3_0_12 => {
                    event["duration_ms"].is_u64() && event["duration"].is_null()
                }
            };
            assert!(right, "{cowrie}: {text}");
        }
    }
}

#[test]
fn events_and_fields_belong_to_the_version() {
    for cowrie in Cowrie::ALL {
        let lines = lines(cowrie);
        let has = |name: &str| lines.contains_key(name);
        let old = cowrie == Cowrie::V1_3;
        assert_eq!(has("cowrie.client.kex"), !old);
        assert_eq!(has("cowrie.session.params"), !old);
        assert_eq!(has("cowrie.log.open"), old);
        assert_eq!(has("cowrie.telnet.option"), cowrie >= Cowrie::V3_0_4);
        assert_eq!(has("cowrie.direct-tcpip.ja4h"), cowrie >= Cowrie::V3_0_4);
        for (text, event) in &lines["cowrie.client.version"] {
            assert_eq!(event["kexAlgs"].is_array(), old, "{text}");
            assert_eq!(
                event["version"].as_str().unwrap().starts_with("b'"),
                cowrie == Cowrie::V1_6,
                "{text}"
            );
        }
        for (text, event) in lines.get("cowrie.session.params").into_iter().flatten() {
            assert_eq!(
                event["message"],
                if cowrie == Cowrie::V3_0_12 { Value::from("") } else { Value::Array(Vec::new()) },
                "{text}"
            );
        }
        for (text, event) in &lines["cowrie.direct-tcpip.request"] {
            assert_eq!(event["orig_port"].is_u64(), cowrie == Cowrie::V3_0_12, "{text}");
        }
        for (text, event) in &lines["cowrie.direct-tcpip.data"] {
            assert_eq!(event["data"].as_str().unwrap().starts_with("b'"), !old, "{text}");
        }
        let clean = |event: &Value| {
            event["username"].as_str().unwrap_or_default().chars().all(|c| matches!(c, ' '..='~'))
        };
        assert!(
            cowrie < Cowrie::V3_0_12 || lines["cowrie.login.failed"].iter().all(|(_, event)| clean(event))
        );
    }
}
