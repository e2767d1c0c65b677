//! The JSON form of a finding.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::{
    Finding, Rule,
    redaction::{MOST, public, shortened},
};

/// Version of the form. New fields do not change it.
const SCHEMA: u32 = 1;
/// Most bytes of a message: NATS carries 1 MiB.
const LARGEST: usize = 768 << 10;

/// For whom the form is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum View {
    /// For subscribers and readers of results: without passwords, and bounded.
    Public,
    /// For the person who runs the analysis on their own data.
    Full,
}

impl Finding {
    /// The message on the stream FINDINGS: without passwords, and bounded. The table has all of it. The
    /// finding of a live rule has no revisions, so its message does not have the number.
    pub fn message(&self, id: Uuid, revision: i32, found_at: DateTime<Utc>) -> Value {
        let mut fields = self.fields(id, View::Public);
        fields.insert("found_at".into(), json!(found_at));
        if matches!(self.rule, Rule::Detector(_)) {
            fields.insert("revision".into(), revision.into());
        }
        let mut message = Value::Object(fields);
        if message.to_string().len() > LARGEST {
            message["evidence"] = json!({ "left_out": "too long; see the table `findings`" });
        }
        message
    }

    /// The finding of an analysis, as in a job's result: without passwords, and bounded.
    pub fn public_json(&self) -> Value {
        Value::Object(self.fields(self.id(), View::Public))
    }

    /// The finding of an analysis with its passwords.
    pub fn full_json(&self) -> Value {
        Value::Object(self.fields(self.id(), View::Full))
    }

    fn fields(&self, id: Uuid, view: View) -> Map<String, Value> {
        let (title, key, evidence) = match view {
            View::Public => {
                (shortened(&self.title), self.rule.hiding().apply(&self.key), public(&self.evidence))
            }
            View::Full => (self.title.clone(), self.key.clone(), self.evidence.clone()),
        };
        let mut fields = Map::new();
        let mut put = |name: &str, value: Value| fields.insert(name.into(), value);
        put("schema", SCHEMA.into());
        put("finding_id", json!(id));
        put("kind", json!(self.kind));
        put("severity", json!(self.severity));
        put("rule", self.rule.name().into());
        put("title", title.into());
        put("sensor", json!(self.sensor));
        put("key", key.into());
        put("evidence", evidence);
        match &self.rule {
            Rule::Live { dimension, .. } => {
                put("dimension", dimension.name().into());
            }
            Rule::Detector(_) => {
                let sources = match view {
                    View::Public => &self.sources[..self.sources.len().min(MOST)],
                    View::Full => &self.sources[..],
                };
                let session =
                    |(sensor, session): &(String, String)| json!({ "sensor": sensor, "session": session });
                put("confidence", json!(self.finite_confidence()));
                put("first_seen", json!(self.first_seen()));
                put("last_seen", json!(self.last_seen()));
                put("sources", json!(sources));
                put("source_count", self.sources.len().into());
                put("sessions", self.sessions.iter().take(MOST).map(session).collect());
                put("session_count", self.sessions.len().into());
            }
        }
        fields
    }
}
