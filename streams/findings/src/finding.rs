//! A finding, its identity and its revision.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{Kind, Rule, Severity};

/// Sensor and session id.
pub type SessionName = (String, String);

/// Something that a live rule or an analysis found. Two runs of an analysis that find the same thing give it
/// the same `kind`, `rule` and `key`.
///
/// Its serialised form is complete, with passwords, and is for parts of this system only. What leaves the
/// system is [`Finding::message`] or [`Finding::public_json`].
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Finding {
    pub kind: Kind,
    pub rule: Rule,
    /// What it is about: a value of the rule's dimension; a command, a sequence, a session, the id of a
    /// campaign.
    pub key: String,
    /// One line for people.
    pub title: String,
    pub severity: Severity,
    /// How sure or how odd, in [0, 1]. A live rule gives none, so its messages do not have it; the same holds
    /// for the times, sources and sessions.
    pub confidence: f64,
    /// The start of the first session, in microseconds since 1970.
    pub first_seen: i64,
    /// The start of the last session, in microseconds since 1970.
    pub last_seen: i64,
    /// The sensor, if the finding is about one sensor only.
    pub sensor: Option<String>,
    /// The measured features and the values they were compared with: a JSON object.
    pub evidence: Value,
    /// Source addresses, sorted.
    pub sources: Vec<String>,
    /// The oldest sessions first; of very many only the first ones (the evidence has the count).
    pub sessions: Vec<SessionName>,
}

impl Finding {
    /// A finding of a live rule.
    pub fn signal(rule: Rule, severity: Severity, title: &str, key: &str, evidence: Value) -> Self {
        Self {
            kind: Kind::Signal,
            rule,
            key: key.to_owned(),
            title: title.to_owned(),
            severity,
            confidence: 0.0,
            first_seen: 0,
            last_seen: 0,
            sensor: None,
            evidence,
            sources: Vec::new(),
            sessions: Vec::new(),
        }
    }

    /// The id of an analysis's finding: 128 bits of BLAKE3 over a tag and the length-prefixed kind, rule and
    /// key. So each run that finds the same thing gives it the same id. A live rule's finding has a random
    /// id, because each episode is a finding of its own.
    pub fn id(&self) -> Uuid {
        let mut hasher = blake3::Hasher::new();
        for part in ["cowriestream finding 1", self.kind.name(), self.rule.name(), &self.key] {
            hasher.update(&(part.len() as u64).to_be_bytes());
            hasher.update(part.as_bytes());
        }
        let mut id = [0; 16];
        hasher.finalize_xof().fill(&mut id);
        Uuid::from_bytes(id)
    }

    /// Hash of what makes a new revision: severity, confidence (to a tenth), times, sensor, sources and
    /// sessions. Title and evidence are left out: they contain counts of the whole window ("1 of 5 203
    /// sessions"), so each run over a moving window would publish every finding again.
    pub fn revision_hash(&self) -> [u8; 32] {
        let content = json!([
            self.severity,
            (self.finite_confidence() * 10.0).floor() as i64,
            self.first_seen(),
            self.last_seen(),
            self.sensor,
            self.sources,
            self.sessions,
        ]);
        *blake3::hash(content.to_string().as_bytes()).as_bytes()
    }

    /// The end of its subject: kind, severity and sensor, `all` for a finding that is about several.
    pub fn subject_tokens(&self) -> [&str; 3] {
        [self.kind.name(), self.severity.name(), self.sensor.as_deref().unwrap_or("all")]
    }

    /// Its `Nats-Msg-Id`. A live rule's finding has no revisions.
    pub fn message_id(&self, id: Uuid, revision: i32) -> String {
        match self.rule {
            Rule::Live { .. } => format!("finding.{id}"),
            Rule::Detector(_) => format!("finding.{id}.{revision}"),
        }
    }

    pub fn first_seen(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.first_seen).unwrap_or_default()
    }

    pub fn last_seen(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.last_seen).unwrap_or_default()
    }

    /// The confidence as JSON and Postgres can hold it.
    pub fn finite_confidence(&self) -> f64 {
        if self.confidence.is_finite() { self.confidence } else { 0.0 }
    }
}
