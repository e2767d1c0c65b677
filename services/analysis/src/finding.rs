//! What an analysis found: one schema for all of them.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Of the schema of findings; live signals have the same. New fields do not change it.
pub const SCHEMA: u32 = 1;

/// How urgent it is for the one who reads it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Severity {
    Info,
    Low,
    Medium,
    High,
    Critical,
}

impl Severity {
    /// As in subjects and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// A session as others know it: sensor and session id.
pub type SessionName = (String, String);

/// Something found. Two runs that find the same give it the same `kind`, `rule` and `key`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// `longtail`, `snowshoe` or `botnet`.
    pub kind: String,
    /// Which detector: `rare_command`, `anomalous_sequence`, `outlier_session`, `emerging_pattern`,
    /// `high_entropy_payload`, `campaign`.
    pub rule: String,
    /// What it is about, the same in every run: a command, a sequence, a session, the id of a campaign.
    pub key: String,
    /// For people, one line.
    pub title: String,
    /// How urgent.
    pub severity: Severity,
    /// How sure or how odd, in [0, 1].
    pub confidence: f64,
    /// Of the sessions, in microseconds since 1970.
    pub first_seen: i64,
    /// Of the sessions, in microseconds since 1970.
    pub last_seen: i64,
    /// When all of it is of one sensor.
    pub sensor: Option<String>,
    /// Which features, by how much, against what: says why.
    pub evidence: Value,
    /// Source addresses, sorted.
    pub sources: Vec<String>,
    /// The sessions it is made of, oldest first; of very many the first ones (the evidence has the count).
    pub sessions: Vec<SessionName>,
}

/// User name and password as one text: `user:password`, with `:` and `\` in the user name led by `\`, as the
/// windows' dimension `credential` has it.
pub fn credential(username: &str, password: &str) -> String {
    format!("{}:{password}", username.replace('\\', "\\\\").replace(':', "\\:"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn where_a_user_name_ends_can_be_told() {
        assert_eq!(super::credential("x\\", "y:z"), "x\\\\:y:z");
        assert_eq!(super::credential("a:b", "c"), "a\\:b:c");
    }
}
