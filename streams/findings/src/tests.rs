//! Findings as subscribers get them. A change of a golden text here is a change for every subscriber.

use crate::{Detector, Finding, Kind, Rule, Severity};
use chrono::{DateTime, Utc};
use events::Dimension;
use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

fn at(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap()
}

fn hex(bytes: [u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn emerging() -> Finding {
    Finding {
        kind: Kind::Longtail,
        rule: Detector::EmergingPattern.into(),
        key: "command:echo a:b".into(),
        title: "new: command `echo a:b`".into(),
        severity: Severity::Medium,
        confidence: 0.8312,
        first_seen: 1_790_000_000_000_000,
        last_seen: 1_790_000_360_250_000,
        sensor: Some("fra-1".into()),
        evidence: json!({
            "credential": "root:hunter2", "passwords": ["hunter2", "abc"], "sessions": 3, "q": 0.01,
            "nearest": null,
        }),
        sources: vec!["192.0.2.1".into(), "192.0.2.9".into()],
        sessions: vec![("fra-1".into(), "0a1b2c3d4e5f".into())],
    }
}

fn signal(name: &str, dimension: Dimension, key: &str) -> Finding {
    let evidence = json!({
        "measure": "events", "value": 6, "at_least": 3, "usual": 0.5,
        "window": { "from_at": at(1_790_000_040_000_000), "events": 6 },
        "not_seen_since": at(1_789_000_000_000_000),
    });
    let rule = Rule::Live { name: name.into(), dimension };
    Finding::signal(rule, Severity::Medium, "A new credential", key, evidence)
}

fn published(finding: &Finding) -> Value {
    finding.message(Uuid::from_u128(7), 1, at(1_790_000_040_000_000))
}

#[test]
fn the_message_of_an_analysis_is_this() {
    let finding = emerging();
    assert_eq!(
        finding.message(finding.id(), 2, at(1_790_000_400_000_001)).to_string(),
        concat!(
            r#"{"confidence":0.8312,"#,
            r#""evidence":{"credential":"root:h… (7 characters)","nearest":null,"#,
            r#""passwords":["h… (7 characters)","… (3 characters)"],"q":0.01,"sessions":3},"#,
            r#""finding_id":"4cb45b0c-24ff-40b0-63cb-833ab76457c2","first_seen":"2026-09-21T14:13:20Z","#,
            r#""found_at":"2026-09-21T14:20:00.000001Z","key":"command:echo a:b","kind":"longtail","#,
            r#""last_seen":"2026-09-21T14:19:20.250Z","revision":2,"rule":"emerging_pattern","schema":1,"#,
            r#""sensor":"fra-1","session_count":1,"#,
            r#""sessions":[{"sensor":"fra-1","session":"0a1b2c3d4e5f"}],"severity":"medium","#,
            r#""source_count":2,"sources":["192.0.2.1","192.0.2.9"],"title":"new: command `echo a:b`"}"#,
        )
    );
    assert_eq!(
        hex(finding.revision_hash()),
        "749eebc88d82d74026bf62d38d0347ffd15ff78124af0962837dce7d948a8a45"
    );
    assert_eq!(finding.subject_tokens(), ["longtail", "medium", "fra-1"]);
    assert_eq!(finding.message_id(finding.id(), 2), "finding.4cb45b0c-24ff-40b0-63cb-833ab76457c2.2");
}

#[test]
fn a_campaign_keeps_its_id_and_its_revision() {
    let campaign = Finding {
        kind: Kind::Botnet,
        rule: Detector::Campaign.into(),
        key: "0123456789abcdef".into(),
        sensor: None,
        severity: Severity::Critical,
        confidence: 1.0,
        ..emerging()
    };
    assert_eq!(campaign.id().to_string(), "aba5aa37-33ae-4764-408a-385cfd74dbb7");
    assert_eq!(
        hex(campaign.revision_hash()),
        "e9f6e32dc595a38864a5a479c0a8c2f3fb0050b5394393fbb6eec571b117fbe8"
    );
    assert_eq!(campaign.subject_tokens(), ["botnet", "critical", "all"]);
}

#[test]
fn the_message_of_a_live_rule_is_this() {
    let finding = signal("new-credential", Dimension::Credential, "root:hunter2");
    assert_eq!(
        published(&finding).to_string(),
        concat!(
            r#"{"dimension":"credential","#,
            r#""evidence":{"at_least":3,"measure":"events","not_seen_since":"2026-09-10T00:26:40Z","#,
            r#""usual":0.5,"value":6,"window":{"events":6,"from_at":"2026-09-21T14:14:00Z"}},"#,
            r#""finding_id":"00000000-0000-0000-0000-000000000007","found_at":"2026-09-21T14:14:00Z","#,
            r#""key":"root:h… (7 characters)","kind":"signal","rule":"new-credential","schema":1,"#,
            r#""sensor":null,"severity":"medium","title":"A new credential"}"#,
        )
    );
    assert_eq!(finding.message_id(Uuid::from_u128(7), 1), "finding.00000000-0000-0000-0000-000000000007");
    assert_eq!(finding.subject_tokens(), ["signal", "medium", "all"]);
}

#[test]
fn the_dimension_and_not_the_name_of_a_rule_decides_what_is_hidden() {
    for (name, dimension, key, shown) in [
        ("spray", Dimension::Credential, "root:hunter2", "root:h… (7 characters)"),
        ("spray", Dimension::Password, "hunter2", "h… (7 characters)"),
        ("spray", Dimension::Password, "abc", "… (3 characters)"),
        ("password_policy", Dimension::SrcIp, "192.0.2.1", "192.0.2.1"),
        ("credential-stuffing", Dimension::Forward, "example.org:443", "example.org:443"),
    ] {
        let message = published(&signal(name, dimension, key));
        assert_eq!(message["key"], shown, "{name} over {}", dimension.name());
        assert_eq!(message["dimension"], dimension.name());
        assert!(!message.to_string().contains("hunter2"));
    }
}

#[test]
fn what_is_published_fits_a_message() {
    let long = "x".repeat(100_000);
    let finding = Finding {
        rule: Detector::RareCommand.into(),
        key: long.clone(),
        title: long,
        evidence: json!({ "a": vec![vec!["y".repeat(3_000); 50]; 150] }),
        sources: vec!["192.0.2.1".into(); 5_000],
        sessions: vec![("s".into(), "t".into()); 5_000],
        ..emerging()
    };
    let message = published(&finding);
    assert!(message.to_string().len() < 800 << 10, "{}", message.to_string().len());
    assert_eq!(
        (message["session_count"].as_u64(), message["sessions"].as_array().map(Vec::len)),
        (Some(5_000), Some(100))
    );
}

#[test]
fn only_the_full_form_has_passwords_and_every_source() {
    let finding = Finding { sources: vec!["192.0.2.1".into(); 200], ..emerging() };
    let (public, full) = (finding.public_json(), finding.full_json());
    assert_eq!(full["evidence"]["credential"], "root:hunter2");
    assert_eq!(full["sources"].as_array().map(Vec::len), Some(200));
    assert_eq!(public["evidence"]["credential"], "root:h… (7 characters)");
    assert_eq!(
        (public["sources"].as_array().map(Vec::len), &public["source_count"]),
        (Some(100), &json!(200))
    );
    assert_eq!(public["finding_id"], json!(finding.id()));
}

#[test]
fn kinds_and_severities_read_back_and_nothing_else_does() {
    for kind in Kind::ALL {
        assert_eq!(kind.name().parse(), Ok(kind));
        assert_eq!(json!(kind), kind.name());
    }
    for severity in Severity::ALL {
        assert_eq!(severity.name().parse(), Ok(severity));
        assert_eq!(json!(severity), severity.name());
    }
    for bad in ["", "hgih", "High", "xyz", "signal "] {
        assert!(bad.parse::<Severity>().is_err() && bad.parse::<Kind>().is_err(), "{bad:?}");
    }
}

proptest! {
    /// Whatever the rule is called, the key of a password never leaves as it is.
    #[test]
    fn no_name_of_a_rule_publishes_a_password(name in "[a-z0-9-]{1,64}", password in "[A-Z]{4,40}") {
        let credential = format!("root:{password}");
        for (dimension, key) in [(Dimension::Password, &password), (Dimension::Credential, &credential)] {
            prop_assert!(!published(&signal(&name, dimension, key)).to_string().contains(&password));
        }
    }
}
