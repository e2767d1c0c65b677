//! Runs the analyses: as jobs, and for a caller that has a database or a data set.
//!
//! The pure crate `analysis` decides what is found. This module loads the data, runs the analysis on a thread
//! of its own, reports progress, stops it and stores the findings.

mod campaigns;
mod days;
mod desk;
mod job;
mod load;
mod longtail;
mod show;

use std::ops::Range;

use analysis::Data;
use findings::{Finding, Kind};
use serde_json::Value;
use store::DataRange;

pub use self::desk::{Desk, Keep, Told};
pub(crate) use self::job::{Job, run};
pub use self::load::data_set;
pub use self::show::markdown;
use crate::attempt::Ended;

/// Which analysis to run, with its parameters.
#[derive(Clone, PartialEq, Debug)]
pub enum Question {
    Longtail(analysis::longtail::Parameters),
    Campaigns(analysis::campaign::Kind, analysis::campaign::Parameters),
}

impl Question {
    /// The kind of its findings.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Longtail(_) => Kind::Longtail,
            Self::Campaigns(kind, _) => (*kind).into(),
        }
    }

    /// The least score or confidence of a finding.
    pub fn threshold(&self) -> f64 {
        match self {
            Self::Longtail(parameters) => parameters.threshold,
            Self::Campaigns(_, parameters) => parameters.threshold,
        }
    }
}

/// The result of an analysis.
#[derive(Clone, PartialEq, Debug)]
pub struct Answer {
    /// Most confident first.
    pub findings: Vec<Finding>,
    /// Counts and parameters: a JSON object.
    pub summary: Value,
    /// The number of sessions analysed.
    pub sessions: u64,
    /// The number of those that an earlier run had read.
    pub cached_sessions: u64,
    /// `None` when nothing was stored.
    pub kept: Option<store::Upserted>,
}

/// Analyses a database. `full`: ignores the parts that earlier runs stored.
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

/// Analyses a data set in memory.
pub async fn of_data(desk: &Desk, question: &Question, data: Data) -> anyhow::Result<Answer> {
    let asked = match question {
        Question::Longtail(parameters) => longtail::of_data(desk, parameters, data).await,
        Question::Campaigns(kind, parameters) => campaigns::of_data(desk, *kind, parameters, data).await,
    };
    asked.map_err(anyhow::Error::from)
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
