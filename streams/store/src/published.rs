//! A finding as it leaves the database: bounded, and without passwords. The table has all of it.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::AnalysisFinding;

/// Of a list, the first so many leave.
const MOST: usize = 100;
/// Of a text, the first so many characters leave.
const LONGEST: usize = 2_000;
/// A message is at most so long, in bytes: NATS carries 1 MiB.
const LARGEST: usize = 768 << 10;
/// Names of fields whose texts are passwords, at any depth below.
const PASSWORDS: [&str; 2] = ["password", "passwords"];
/// Names of fields whose texts are `user name:password`, at any depth below.
const CREDENTIALS: [&str; 2] = ["credential", "credentials"];

/// What is published of a finding.
pub(crate) fn finding(finding: &AnalysisFinding, id: Uuid, revision: i32, found_at: DateTime<Utc>) -> Value {
    let sessions: Vec<_> = finding
        .sessions
        .iter()
        .take(MOST)
        .map(|(sensor, session)| json!({ "sensor": sensor, "session": session }))
        .collect();
    let mut message = json!({
        "schema": 1, "finding_id": id, "revision": revision, "kind": finding.kind, "severity": finding.severity, "rule": finding.rule,
        "title": shortened(&finding.title), "sensor": finding.sensor, "key": public_key(&finding.rule, &finding.key), "found_at": found_at,
        "confidence": finding.confidence, "first_seen": finding.first_seen, "last_seen": finding.last_seen, "evidence": public(&finding.evidence),
        "sources": &finding.sources[..finding.sources.len().min(MOST)], "source_count": finding.sources.len(),
        "sessions": sessions, "session_count": finding.sessions.len(),
    });
    if message.to_string().len() > LARGEST {
        message["evidence"] = json!({ "left_out": "too long; see the table `findings`" });
    }
    message
}

/// The key of a finding without its password, when it has one.
pub fn public_key(rule: &str, key: &str) -> String {
    let hiding = match rule {
        _ if rule.contains("credential") => Hiding::Credentials,
        _ if rule.contains("password") => Hiding::Passwords,
        _ => Hiding::Nothing,
    };
    shortened(&hiding.hide(key))
}

/// Evidence without passwords, and bounded: of lists the first 100, of texts the first 2 000 characters.
/// Passwords are the texts below fields that are called `password`, `passwords`, `credential` or
/// `credentials`; the names of fields are never hidden.
pub fn public(evidence: &Value) -> Value {
    hidden(evidence, Hiding::Nothing)
}

/// Of a password its first character, when it is longer than 3, and its length.
pub fn hidden_password(password: &str) -> String {
    let length = password.chars().count();
    format!(
        "{}… ({length} characters)",
        password.chars().next().filter(|_| length > 3).map_or_else(String::new, String::from)
    )
}

/// Of `user name:password` the user name, and of the password as [`hidden_password`]. A `:` in the user name
/// is led by `\`.
pub fn hidden_credential(credential: &str) -> String {
    let mut escaped = false;
    let end = credential.char_indices().find(|&(_, c)| {
        let ends = c == ':' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    end.map_or_else(
        || hidden_password(credential),
        |(at, _)| format!("{}:{}", &credential[..at], hidden_password(&credential[at + 1..])),
    )
}

#[derive(Clone, Copy)]
enum Hiding {
    Nothing,
    Passwords,
    Credentials,
}

impl Hiding {
    fn hide(self, text: &str) -> String {
        match self {
            Self::Nothing => text.to_owned(),
            Self::Passwords => hidden_password(text),
            Self::Credentials => hidden_credential(text),
        }
    }

    /// Below a field.
    fn below(self, name: &str) -> Self {
        match name {
            _ if PASSWORDS.contains(&name) => Self::Passwords,
            _ if CREDENTIALS.contains(&name) => Self::Credentials,
            _ => self,
        }
    }
}

fn hidden(value: &Value, hiding: Hiding) -> Value {
    match value {
        Value::String(text) => shortened(&hiding.hide(text)).into(),
        Value::Array(values) => values.iter().take(MOST).map(|value| hidden(value, hiding)).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| (name.clone(), hidden(value, hiding.below(name)))).collect()
        }
        other => other.clone(),
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_stays_inside() {
        assert_eq!(hidden_credential(r"ro\:ot:hunter2"), r"ro\:ot:h… (7 characters)");
        assert_eq!(hidden_credential("root:abc"), "root:… (3 characters)");
        assert_eq!(hidden_password("pässwort"), "p… (8 characters)");
    }

    #[test]
    fn passwords_are_hidden_wherever_they_stand_in_evidence() {
        let evidence = json!({
            "passwords": ["hunter2", "abc"], "nested": [{ "password": "sécret", "count": 3 }],
            "credentials": { "first": ["root:hunter2"], "hassh": "x:y" }, "commands": ["echo hunter"],
        });
        assert_eq!(
            public(&evidence),
            json!({
                "passwords": ["h… (7 characters)", "… (3 characters)"], "nested": [{ "password": "s… (6 characters)", "count": 3 }],
                "credentials": { "first": ["root:h… (7 characters)"], "hassh": "x:… (1 characters)" }, "commands": ["echo hunter"],
            })
        );
        assert_eq!(public_key("shared_password", "hunter2"), "h… (7 characters)");
        assert_eq!(public_key("rare_command", "echo a:b"), "echo a:b");
    }

    #[test]
    fn what_is_published_fits_a_message() {
        let long = "x".repeat(100_000);
        let finding = AnalysisFinding {
            kind: "longtail".into(),
            rule: "rare_command".into(),
            key: long.clone(),
            title: long.clone(),
            severity: "low".into(),
            confidence: 0.9,
            first_seen: DateTime::UNIX_EPOCH,
            last_seen: DateTime::UNIX_EPOCH,
            sensor: None,
            evidence: json!({ "a": vec![vec!["y".repeat(3_000); 50]; 150] }),
            sources: vec!["192.0.2.1".into(); 5_000],
            sessions: vec![("s".into(), "t".into()); 5_000],
        };
        let message = super::finding(&finding, finding.id(), 1, DateTime::UNIX_EPOCH);
        assert!(message.to_string().len() < 800 << 10, "{}", message.to_string().len());
        assert_eq!(
            (message["session_count"].as_u64(), message["sessions"].as_array().map(Vec::len)),
            (Some(5_000), Some(100))
        );
    }
}
