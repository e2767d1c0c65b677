//! What one step of a job writes, as data.
//!
//! Job code builds a [`Step`] and never sees a connection. [`crate::Backend::apply`] writes it. A step can be
//! serialised, so a worker without a database could send it to one that has a database.

use findings::Finding;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{SessionKey, analyses::DataRange, analyses::longtail::LongtailPart, jobs::Progress};

/// Everything that one step writes: all of it, or nothing.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Step {
    /// Where the next attempt continues.
    pub checkpoint: Option<Value>,
    pub progress: Option<Progress>,
    pub findings: Vec<Finding>,
    pub longtail_day: Option<LongtailDay>,
    pub longtail_run: Option<LongtailRun>,
    /// The number of a step of a `diagnostic` job, which can be stored once.
    pub diagnostic_step: Option<i64>,
}

/// What longtail caches of one whole UTC day.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct LongtailDay {
    pub range: DataRange,
    pub version: i16,
    pub part: LongtailPart,
}

/// What a longtail run stores beside its findings.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct LongtailRun {
    pub range: DataRange,
    pub version: i16,
    pub threshold: f64,
    pub scores: Vec<(SessionKey, f64)>,
    pub model: Option<LongtailModel>,
}

/// A trained model, cached for later runs.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct LongtailModel {
    pub id: String,
    pub bytes: Vec<u8>,
}

impl Step {
    /// Whether writing it may take longer than the usual statement timeout.
    pub(crate) fn is_large(&self) -> bool {
        !self.findings.is_empty() || self.longtail_run.is_some()
    }
}
