//! Snowshoe and botnet: sources that act together.

use analysis::{
    Data,
    campaign::{Kind, Known, Outcome, Parameters, detect},
};
use store::DataRange;

use super::{Answer, desk::Desk, load::load, micros, span};
use crate::attempt::Ended;

/// How far back campaigns are known, before the range begins.
const KNOWN: chrono::Duration = chrono::Duration::days(90);
/// Of the bar, what reading takes: measured as for longtail.
const READING: f64 = 0.8;

/// Of a database.
pub(crate) async fn of_database(
    desk: &Desk,
    kind: Kind,
    parameters: &Parameters,
    range: &DataRange,
) -> Result<Answer, Ended> {
    desk.tell("counting sessions", 0.0)?;
    let mut transaction = desk.store()?.begin_long().await?;
    let sessions: i64 =
        store::day_digests(&mut transaction, range).await?.iter().map(|day| day.sessions).sum();
    let known = store::known_campaigns(&mut transaction, kind.into(), range.from - KNOWN).await?;
    drop(transaction);
    desk.sessions(sessions.unsigned_abs());
    let tell = |loaded: u64| {
        desk.tell("reading sessions", (READING * loaded as f64 / sessions.max(1) as f64).min(READING))
    };
    let data = load(desk.store()?, range, tell).await?;
    let known = known
        .into_iter()
        .map(|campaign| Known {
            id: campaign.key,
            sources: campaign.sources,
            indicators: campaign.indicators,
        })
        .collect();
    let sessions = data.sessions.len() as u64;
    let outcome = outcome(desk, kind, parameters, data, micros(range), known, READING).await?;
    let kept = if desk.keeps() { Some(keep(desk, &outcome).await?) } else { None };
    desk.tell("done", 1.0)?;
    Ok(Answer { findings: outcome.findings, summary: outcome.summary, sessions, cached_sessions: 0, kept })
}

async fn keep(desk: &Desk, outcome: &Outcome) -> Result<store::Upserted, Ended> {
    desk.tell("keeping what was found", 0.99)?;
    let mut transaction = desk.store()?.begin_long().await?;
    let kept = store::upsert_findings(&mut transaction, desk.job_id(), &outcome.findings).await?;
    desk.commit(transaction).await?;
    Ok(kept)
}

/// Of a data set in memory.
pub(crate) async fn of_data(
    desk: &Desk,
    kind: Kind,
    parameters: &Parameters,
    data: Data,
) -> Result<Answer, Ended> {
    let (sessions, range) = (data.sessions.len() as u64, span(&data));
    desk.sessions(sessions);
    let outcome = outcome(desk, kind, parameters, data, range, Vec::new(), 0.0).await?;
    desk.tell("done", 1.0)?;
    Ok(Answer {
        findings: outcome.findings,
        summary: outcome.summary,
        sessions,
        cached_sessions: 0,
        kept: None,
    })
}

async fn outcome(
    desk: &Desk,
    kind: Kind,
    parameters: &Parameters,
    data: Data,
    range: std::ops::Range<i64>,
    known: Vec<Known>,
    from: f64,
) -> Result<Outcome, Ended> {
    let mine = parameters.clone();
    desk.compute((from, 0.99), move |watch| detect(kind, &data, range, &known, &mine, watch)).await
}
