//! Longtail: what is rare, odd or new in a time range.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Data, Finding, Stopped, Watch, finding::SessionName};

/// Of parts and models: a cached one of another version is of no use.
pub const VERSION: i16 = 1;

/// What may be chosen.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Parameters {
    /// From which score on something is a finding, in [0, 1].
    pub threshold: f64,
    /// Of everything random.
    pub seed: u64,
    /// Of each detector, the first so many by score; the summary has the counts.
    pub most_findings: usize,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { threshold: 0.7, seed: 1, most_findings: 200 }
    }
}

/// What longtail needs to know of the sessions that began in a span of time. Parts of neighbouring spans together are as good as the part of both.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Part {
    sessions: u64,
}

impl Part {
    /// Of these sessions; the span is that of the data.
    pub fn of(data: &Data, watch: &mut Watch<'_>) -> Result<Self, Stopped> {
        watch.at(1.0)?;
        Ok(Self { sessions: data.sessions.len() as u64 })
    }

    /// How many sessions it is of.
    pub fn sessions(&self) -> u64 {
        self.sessions
    }

    /// For a cache.
    pub fn to_bytes(&self) -> Vec<u8> {
        Vec::new()
    }

    /// From a cache; `None` when these are no bytes of this version.
    pub fn from_bytes(_bytes: &[u8]) -> Option<Self> {
        None
    }
}

/// A trained autoencoder.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Model {
    id: String,
}

impl Model {
    /// Names what it was trained on and how: 32 hex digits.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// For a cache.
    pub fn to_bytes(&self) -> Vec<u8> {
        Vec::new()
    }

    /// From a cache; `None` when these are no bytes of this version.
    pub fn from_bytes(_bytes: &[u8]) -> Option<Self> {
        None
    }
}

/// Parts in the order of time, each with the span of starts that it is of, in microseconds since 1970: whole UTC days but for the first and the last.
pub type Parts<'a> = [(Range<i64>, &'a Part)];

/// What came out.
#[derive(Clone, PartialEq, Debug)]
pub struct Outcome {
    /// Sorted: most confident first.
    pub findings: Vec<Finding>,
    /// Counts, and how it was done: a JSON object.
    pub summary: Value,
    /// The model that was used; keep it.
    pub model: Option<Model>,
    /// The sessions that are at all odd: score of at least 0.5.
    pub scores: Vec<(SessionName, f64)>,
}

/// Analyses what the parts are of. The outcome does not depend on which parts came from a cache, nor on whether the model did.
pub fn analyse(parts: &Parts<'_>, known: Vec<Model>, parameters: &Parameters, watch: &mut Watch<'_>) -> Result<Outcome, Stopped> {
    let _ = (parts, parameters);
    watch.at(1.0)?;
    Ok(Outcome { findings: Vec::new(), summary: Value::Null, model: known.into_iter().next(), scores: Vec::new() })
}
