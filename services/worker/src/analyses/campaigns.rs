//! Snowshoe and botnet: sources that act together.

use std::collections::HashMap;

use analysis::{
    Data,
    campaign::{Earlier, Kind, Known, Outcome, Parameters, detect, shared_credentials},
};
use store::analyses::DataRange;

use super::{AnalysisOutcome, context::AnalysisContext, load::load, micros, span};
use crate::{error::AttemptError, step::Step};

/// How long before the range a known campaign may have been seen last.
const KNOWN: chrono::Duration = chrono::Duration::days(90);
/// Most credentials whose sources before the range are counted, and how many of them one query takes.
const MOST_CREDENTIALS: usize = 5_000;
const CREDENTIALS_A_QUERY: usize = 500;
/// The part of the progress bar for reading, as measured for longtail.
const READING: f64 = 0.8;
/// The part of the progress bar at which the analysis ends and storing begins.
const ANALYSED: f64 = 0.99;

/// Analyses a database.
pub(crate) async fn of_database(
    context: &AnalysisContext,
    kind: Kind,
    parameters: &Parameters,
    range: &DataRange,
) -> Result<AnalysisOutcome, AttemptError> {
    context.report("counting sessions", 0.0)?;
    let reader = context.reader()?;
    let sessions = reader.session_count(range).await?;
    let campaigns = reader.known_campaigns(kind.into(), range.from - KNOWN).await?;
    context.set_sessions(sessions);
    let report = |loaded: u64| {
        let done = (READING * loaded as f64 / sessions.max(1) as f64).min(READING);
        context.report("reading sessions", done)
    };
    let data = load(reader, range, report).await?;
    let campaigns = campaigns
        .into_iter()
        .map(|campaign| Known {
            id: campaign.key,
            sources: campaign.sources,
            indicators: campaign.indicators,
        })
        .collect();
    let (data, shared) = context
        .compute((READING, READING), move |_| {
            let shared = shared_credentials(&data, MOST_CREDENTIALS);
            Ok((data, shared))
        })
        .await?;
    let (sources, credentials) = credentials_before(context, range, shared).await?;
    let earlier = Earlier { campaigns, sources, credentials };
    let sessions = data.sessions.len() as u64;
    let outcome = detect_in(context, kind, parameters, data, micros(range), earlier, READING).await?;
    store_result(context, outcome, sessions).await
}

/// The number of sources before the range, and how many of them tried each of the credentials.
async fn credentials_before(
    context: &AnalysisContext,
    range: &DataRange,
    credentials: Vec<(String, String)>,
) -> Result<(u64, HashMap<(String, String), u64>), AttemptError> {
    context.report("counting earlier credentials", READING)?;
    let reader = context.reader()?;
    let sources = reader.sources_before(range.from).await?;
    let mut counts = HashMap::new();
    if sources == 0 {
        return Ok((0, counts));
    }
    for some in credentials.chunks(CREDENTIALS_A_QUERY) {
        context.report("counting earlier credentials", READING)?;
        let sources = reader.credential_sources_before(range.from, some).await?;
        counts.extend(some.iter().cloned().zip(sources));
    }
    Ok((sources, counts))
}

/// Analyses a data set in memory.
pub(crate) async fn of_data(
    context: &AnalysisContext,
    kind: Kind,
    parameters: &Parameters,
    data: Data,
) -> Result<AnalysisOutcome, AttemptError> {
    let (sessions, range) = (data.sessions.len() as u64, span(&data));
    context.set_sessions(sessions);
    let outcome = detect_in(context, kind, parameters, data, range, Earlier::default(), 0.0).await?;
    store_result(context, outcome, sessions).await
}

async fn detect_in(
    context: &AnalysisContext,
    kind: Kind,
    parameters: &Parameters,
    data: Data,
    range: std::ops::Range<i64>,
    earlier: Earlier,
    from: f64,
) -> Result<Outcome, AttemptError> {
    let parameters = parameters.clone();
    context
        .compute((from, ANALYSED), move |watch| detect(kind, &data, range, &earlier, &parameters, watch))
        .await
}

/// Stores the findings, if the context stores anything.
async fn store_result(
    context: &AnalysisContext,
    outcome: Outcome,
    sessions: u64,
) -> Result<AnalysisOutcome, AttemptError> {
    if context.stores() {
        context.report("storing findings", ANALYSED)?;
    }
    let step = Step { findings: outcome.findings, checkpoint: context.checkpoint(), ..Step::default() };
    let stored = context.apply(&step).await?;
    context.report("done", 1.0)?;
    let Step { findings, .. } = step;
    Ok(AnalysisOutcome { findings, summary: outcome.summary, sessions, cached_sessions: 0, stored })
}
