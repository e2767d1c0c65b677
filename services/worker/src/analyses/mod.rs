//! Runs the analyses: for jobs, and for a caller that has a database or a data set.
//!
//! The pure crate `analysis` decides what is found. This module loads the data, runs the analysis on a thread
//! of its own, reports progress, stops it and stores the findings.

mod campaigns;
mod context;
mod days;
mod load;
mod longtail;
mod markdown;

use std::ops::Range;

use analysis::Data;
use findings::{Finding, Kind};
use serde_json::Value;
use store::{analyses::DataRange, findings::Upserted};

pub(crate) use self::context::Checkpoint;
pub use self::context::{AnalysisContext, Keep, Progress};
pub use self::load::data_set;
pub use self::markdown::markdown;
use crate::error::AttemptError;

/// Which analysis to run, with its parameters.
#[derive(Clone, PartialEq, Debug)]
pub enum Analysis {
    Longtail(analysis::longtail::Parameters),
    Campaigns(analysis::campaign::Kind, analysis::campaign::Parameters),
}

impl Analysis {
    /// The kind of its findings.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Longtail(_) => Kind::Longtail,
            Self::Campaigns(kind, _) => (*kind).into(),
        }
    }

    /// The lowest score or confidence of a finding.
    pub fn threshold(&self) -> f64 {
        match self {
            Self::Longtail(parameters) => parameters.threshold,
            Self::Campaigns(_, parameters) => parameters.threshold,
        }
    }
}

/// What an analysis found.
#[derive(Clone, PartialEq, Debug)]
pub struct AnalysisOutcome {
    /// Most confident first.
    pub findings: Vec<Finding>,
    /// Counts and parameters: a JSON object.
    pub summary: Value,
    /// The number of sessions analysed.
    pub sessions: u64,
    /// The number of those that came from the cache of an earlier run.
    pub cached_sessions: u64,
    /// `None` if nothing was stored.
    pub stored: Option<Upserted>,
}

impl AnalysisOutcome {
    /// `incremental` if a part came from an earlier run.
    pub(crate) fn analysis_type(&self) -> &'static str {
        if self.cached_sessions > 0 { "incremental" } else { "full" }
    }
}

/// Analyses a database. `full`: ignores what earlier runs cached.
pub async fn of_database(
    context: &AnalysisContext,
    analysis: &Analysis,
    range: &DataRange,
    full: bool,
) -> anyhow::Result<AnalysisOutcome> {
    analyse(context, analysis, range, full).await.map_err(anyhow::Error::from)
}

/// As [`of_database`]; the error says whether another attempt may succeed.
pub(crate) async fn analyse(
    context: &AnalysisContext,
    analysis: &Analysis,
    range: &DataRange,
    full: bool,
) -> Result<AnalysisOutcome, AttemptError> {
    match analysis {
        Analysis::Longtail(parameters) => longtail::of_database(context, parameters, range, full).await,
        Analysis::Campaigns(kind, parameters) => {
            campaigns::of_database(context, *kind, parameters, range).await
        }
    }
}

/// Analyses a data set in memory.
pub async fn of_data(
    context: &AnalysisContext,
    analysis: &Analysis,
    data: Data,
) -> anyhow::Result<AnalysisOutcome> {
    let result = match analysis {
        Analysis::Longtail(parameters) => longtail::of_data(context, parameters, data).await,
        Analysis::Campaigns(kind, parameters) => campaigns::of_data(context, *kind, parameters, data).await,
    };
    result.map_err(anyhow::Error::from)
}

/// The range of the sessions' starts, in microseconds since 1970.
fn span(data: &Data) -> Range<i64> {
    let from = data.sessions.first().map_or(0, |session| session.started);
    from..data.sessions.last().map_or(from, |session| session.started + 1)
}

/// A range in microseconds since 1970.
fn micros(range: &DataRange) -> Range<i64> {
    range.from.timestamp_micros()..range.to.timestamp_micros()
}
