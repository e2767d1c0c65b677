//! The analyses, run: data in, findings out. As jobs, and by whoever has a database or a data set.
//!
//! What is found is decided by the pure crate `analysis`; here it is loaded, given time on a thread of its
//! own, told about, stopped and kept.

mod campaigns;
mod days;
mod desk;
mod job;
mod load;
mod longtail;
mod show;

use std::ops::Range;

use analysis::{Data, Finding};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use store::{AnalysisFinding, DataRange};

pub use self::desk::{Desk, Keep, Told};
pub(crate) use self::job::{Job, run};
pub use self::load::data_set;
pub use self::show::markdown;
use crate::attempt::Ended;

/// What is asked of a data set.
#[derive(Clone, PartialEq, Debug)]
pub enum Question {
    /// What is rare, odd or new?
    Longtail(analysis::longtail::Parameters),
    /// Which sources act together?
    Campaigns(analysis::campaign::Kind, analysis::campaign::Parameters),
}

impl Question {
    /// `longtail`, `snowshoe` or `botnet`: the kind of its findings.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Longtail(_) => "longtail",
            Self::Campaigns(analysis::campaign::Kind::Snowshoe, _) => "snowshoe",
            Self::Campaigns(analysis::campaign::Kind::Botnet, _) => "botnet",
        }
    }

    /// From which score or confidence on something is a finding.
    pub fn threshold(&self) -> f64 {
        match self {
            Self::Longtail(parameters) => parameters.threshold,
            Self::Campaigns(_, parameters) => parameters.threshold,
        }
    }
}

/// What came out.
#[derive(Clone, PartialEq, Debug)]
pub struct Answer {
    /// Most confident first.
    pub findings: Vec<Finding>,
    /// Counts, and how it was done: a JSON object.
    pub summary: Value,
    /// The sessions that were looked at.
    pub sessions: u64,
    /// Of them, those that an earlier run had read.
    pub cached_sessions: u64,
    /// What became of the findings; `None` when nothing was kept.
    pub kept: Option<store::Upserted>,
}

/// Asks a database. `full`: as if no earlier run had kept anything.
pub async fn of_database(
    desk: &Desk,
    question: &Question,
    range: &DataRange,
    full: bool,
) -> anyhow::Result<Answer> {
    ask(desk, question, range, full).await.map_err(anyhow::Error::from)
}

async fn ask(desk: &Desk, question: &Question, range: &DataRange, full: bool) -> Result<Answer, Ended> {
    match question {
        Question::Longtail(parameters) => longtail::of_database(desk, parameters, range, full).await,
        Question::Campaigns(kind, parameters) => campaigns::of_database(desk, *kind, parameters, range).await,
    }
}

/// Asks a data set that is in memory.
pub async fn of_data(desk: &Desk, question: &Question, data: Data) -> anyhow::Result<Answer> {
    let asked = match question {
        Question::Longtail(parameters) => longtail::of_data(desk, parameters, data).await,
        Question::Campaigns(kind, parameters) => campaigns::of_data(desk, *kind, parameters, data).await,
    };
    asked.map_err(anyhow::Error::from)
}

/// The span of starts that a data set has, in microseconds since 1970.
fn span(data: &Data) -> Range<i64> {
    let from = data.sessions.first().map_or(0, |session| session.started);
    from..data.sessions.last().map_or(from, |session| session.started + 1)
}

/// A range in microseconds since 1970.
fn micros(range: &DataRange) -> Range<i64> {
    range.from.timestamp_micros()..range.to.timestamp_micros()
}

/// A finding as the store keeps it.
fn stored(finding: &Finding) -> AnalysisFinding {
    let time = |micros| DateTime::<Utc>::from_timestamp_micros(micros).unwrap_or_default();
    AnalysisFinding {
        kind: finding.kind.clone(),
        rule: finding.rule.clone(),
        key: finding.key.clone(),
        title: finding.title.clone(),
        severity: finding.severity.name().to_owned(),
        confidence: if finding.confidence.is_finite() { finding.confidence } else { 0.0 },
        first_seen: time(finding.first_seen),
        last_seen: time(finding.last_seen),
        sensor: finding.sensor.clone(),
        evidence: finding.evidence.clone(),
        sources: finding.sources.clone(),
        sessions: finding.sessions.clone(),
    }
}

/// A finding as it is shown; with `public` without passwords, and bounded.
pub fn finding_json(finding: &Finding, public: bool) -> Value {
    let stored = stored(finding);
    let sessions: Vec<_> = stored
        .sessions
        .iter()
        .take(100)
        .map(|(sensor, session)| json!({ "sensor": sensor, "session": session }))
        .collect();
    json!({
        "schema": analysis::finding::SCHEMA, "finding_id": stored.id(), "kind": stored.kind, "severity": stored.severity, "rule": stored.rule,
        "title": stored.title, "sensor": stored.sensor, "key": if public { store::public_key(&stored.rule, &stored.key) } else { stored.key.clone() },
        "confidence": stored.confidence, "first_seen": stored.first_seen, "last_seen": stored.last_seen,
        "evidence": if public { store::public(&stored.evidence) } else { stored.evidence.clone() },
        "sources": if public { &stored.sources[..stored.sources.len().min(100)] } else { &stored.sources[..] }, "source_count": stored.sources.len(),
        "sessions": sessions, "session_count": stored.sessions.len(),
    })
}
