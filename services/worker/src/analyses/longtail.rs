//! Longtail, day by day: days that an earlier run cached are not read again.

use std::{collections::HashMap, ops::Range};

use analysis::{
    Data, Watch,
    autoencoder::Device,
    longtail::{Model, Outcome, Parameters, Part, VERSION, analyse},
};
use chrono::{DateTime, Utc};
use store::{
    analyses::longtail::LongtailPart,
    analyses::{DataRange, DayDigest},
};

use super::{
    AnalysisOutcome,
    context::AnalysisContext,
    days::{DAY, days, is_whole, within},
    load::load,
    micros, span,
};
use crate::{
    error::AttemptError,
    step::{LongtailDay, LongtailModel, LongtailRun, Step},
};

/// Microseconds that a session takes: to be read and made a part of its day, and to be analysed with all
/// others. They only scale the progress bar; measured over 90 days of 101 901 sessions on two busy cores.
const READ: f64 = 60.0;
const ANALYSE: f64 = 20.0;
/// The part of the time of a day that reading takes.
const READING_OF_DAY: f64 = 0.8;
/// The part of the progress bar for making the days of a data set that is in memory.
const DAYS_OF_DATA: f64 = 0.3;
/// The part of the progress bar at which the analysis ends and storing begins.
const ANALYSED: f64 = 0.99;

/// A day with its part.
type DayPart = (Range<i64>, Part);

/// Analyses a database.
pub(crate) async fn of_database(
    context: &AnalysisContext,
    parameters: &Parameters,
    range: &DataRange,
    full: bool,
) -> Result<AnalysisOutcome, AttemptError> {
    context.report("looking up cached days", 0.0)?;
    let mut plan = Plan::make(context, range, full).await?;
    context.set_sessions(plan.sessions.unsigned_abs());
    let reading = plan.reading_share();
    let (mut parts, mut read) = (Vec::new(), 0);
    for day in days(&micros(range)) {
        if let Some(part) = plan.cached.remove(&day.start) {
            parts.push((day, part));
            continue;
        }
        let done = |sessions: i64| reading * sessions as f64 / plan.new_sessions.max(1) as f64;
        let digest = plan.digests.remove(&day.start.div_euclid(DAY));
        let sessions = digest.as_ref().map_or(0, |digest| digest.sessions);
        let part = make_part(context, range, &day, digest, (done(read), done(read + sessions))).await?;
        read += sessions;
        parts.push((day, part));
    }
    let models = match full {
        true => Vec::new(),
        false => context.reader()?.longtail_models(range, VERSION).await?,
    };
    let (sessions, outcome) = analyse_parts(context, parameters, parts, models, reading).await?;
    store_result(context, parameters, range, outcome, sessions, plan.cached_sessions).await
}

/// What is cached and what must be read.
struct Plan {
    /// By the number of the day since 1970.
    digests: HashMap<i64, DayDigest>,
    /// By the first microsecond of the day.
    cached: HashMap<i64, Part>,
    sessions: i64,
    /// Sessions that are not cached.
    new_sessions: i64,
    cached_sessions: u64,
}

impl Plan {
    async fn make(context: &AnalysisContext, range: &DataRange, full: bool) -> Result<Self, AttemptError> {
        let reader = context.reader()?;
        let digests = reader.day_digests(range).await?;
        let parts = if full { Vec::new() } else { reader.longtail_parts(range, VERSION).await? };
        let sessions = digests.iter().map(|day| day.sessions).sum();
        let by_day: HashMap<_, _> = digests.iter().map(|day| (day.day, &day.digest)).collect();
        let valid: Vec<_> =
            parts.into_iter().filter(|part| by_day.get(&part.from_at) == Some(&&part.digest)).collect();
        let cached: HashMap<_, _> = context
            .compute((0.0, 0.0), move |_| {
                let read = |part: LongtailPart| {
                    Some((part.from_at.timestamp_micros(), Part::from_bytes(&part.part)?))
                };
                Ok(valid.into_iter().filter_map(read).collect())
            })
            .await?;
        let cached_sessions: u64 = cached.values().map(Part::sessions).sum();
        Ok(Self {
            digests: digests
                .into_iter()
                .map(|day| (day.day.timestamp_micros().div_euclid(DAY), day))
                .collect(),
            cached,
            sessions,
            new_sessions: sessions - cached_sessions.cast_signed(),
            cached_sessions,
        })
    }

    /// The part of the progress bar for reading.
    fn reading_share(&self) -> f64 {
        let (reading, analysing) = (READ * self.new_sessions as f64, ANALYSE * self.sessions as f64 + 1.0);
        reading / (reading + analysing)
    }
}

/// Reads a day and makes its part, which is cached if the day is whole. A day without sessions is not read.
async fn make_part(
    context: &AnalysisContext,
    range: &DataRange,
    day: &Range<i64>,
    digest: Option<DayDigest>,
    (from, to): (f64, f64),
) -> Result<Part, AttemptError> {
    let step = format!("reading {}", time(day.start).format("%Y-%m-%d"));
    context.report(&step, from)?;
    let middle = from + (to - from) * READING_OF_DAY;
    let data = match &digest {
        None => Data::default(),
        Some(digest) => {
            let of_day = DataRange { from: time(day.start), to: time(day.end), sensor: range.sensor.clone() };
            let report = |loaded: u64| {
                let part = loaded as f64 / digest.sessions.max(1) as f64;
                context.report(&step, (from + (middle - from) * part).min(middle))
            };
            load(context.reader()?, &of_day, report).await?
        }
    };
    let digest = digest.filter(|_| context.stores() && is_whole(day));
    let is_cached = digest.is_some();
    let (part, bytes) = context
        .compute((middle, to), move |watch| {
            let part = Part::of(&data, watch)?;
            let bytes = if is_cached { part.to_bytes() } else { Vec::new() };
            Ok((part, bytes))
        })
        .await?;
    if let Some(DayDigest { digest, .. }) = digest {
        let sessions = part.sessions().cast_signed();
        let row = LongtailPart { from_at: time(day.start), digest, sessions, part: bytes };
        let day = LongtailDay { range: range.clone(), version: VERSION, part: row };
        let checkpoint = context.checkpoint();
        context.apply(&Step { longtail_day: Some(day), checkpoint, ..Step::default() }).await?;
    }
    Ok(part)
}

async fn analyse_parts(
    context: &AnalysisContext,
    parameters: &Parameters,
    parts: Vec<DayPart>,
    models: Vec<Vec<u8>>,
    from: f64,
) -> Result<(u64, Outcome), AttemptError> {
    let parameters = parameters.clone();
    // Another worker may have a device.
    let device = Device::open().map_err(|error| AttemptError::Retry(error.into()))?;
    context
        .compute((from, ANALYSED), move |watch| {
            let models = models.iter().filter_map(|bytes| Model::from_bytes(bytes)).collect();
            let borrowed: Vec<_> = parts.iter().map(|(day, part)| (day.clone(), part)).collect();
            let outcome = analyse(&borrowed, models, &parameters, &device, watch)?;
            Ok((parts.iter().map(|(_, part)| part.sessions()).sum(), outcome))
        })
        .await
}

/// Stores findings, scores and model in one step, if the context stores anything.
async fn store_result(
    context: &AnalysisContext,
    parameters: &Parameters,
    range: &DataRange,
    outcome: Outcome,
    sessions: u64,
    cached_sessions: u64,
) -> Result<AnalysisOutcome, AttemptError> {
    if context.stores() {
        context.report("storing findings", ANALYSED)?;
    }
    let model = outcome.model.filter(|_| context.stores());
    let model = model.map(|model| LongtailModel { id: model.id().to_owned(), bytes: model.to_bytes() });
    let run = LongtailRun {
        range: range.clone(),
        version: VERSION,
        threshold: parameters.threshold,
        scores: outcome.scores,
        model,
    };
    let step = Step {
        findings: outcome.findings,
        longtail_run: Some(run),
        checkpoint: context.checkpoint(),
        ..Step::default()
    };
    let stored = context.apply(&step).await?;
    context.report("done", 1.0)?;
    let Step { findings, .. } = step;
    Ok(AnalysisOutcome { findings, summary: outcome.summary, sessions, cached_sessions, stored })
}

/// Analyses a data set in memory. Nothing is cached.
pub(crate) async fn of_data(
    context: &AnalysisContext,
    parameters: &Parameters,
    data: Data,
) -> Result<AnalysisOutcome, AttemptError> {
    let sessions = data.sessions.len() as u64;
    context.set_sessions(sessions);
    let parts = context.compute((0.0, DAYS_OF_DATA), move |watch| parts_of(&data, watch)).await?;
    let (_, outcome) = analyse_parts(context, parameters, parts, Vec::new(), DAYS_OF_DATA).await?;
    context.report("done", 1.0)?;
    Ok(AnalysisOutcome {
        findings: outcome.findings,
        summary: outcome.summary,
        sessions,
        cached_sessions: 0,
        stored: None,
    })
}

fn parts_of(data: &Data, watch: &mut Watch<'_>) -> Result<Vec<DayPart>, analysis::Stopped> {
    let all = days(&span(data));
    let mut parts = Vec::with_capacity(all.len());
    let (mut read, total) = (0, data.sessions.len().max(1) as f64);
    for day in all {
        let of_day = within(data, &day);
        // Each day counts from 0 to 1, and is a part of the whole.
        let mut on_progress = |_: &str, part: f64| {
            watch.at((read as f64 + part * of_day.sessions.len() as f64) / total).is_ok()
        };
        parts.push((day, Part::of(&of_day, &mut Watch::new(&mut on_progress))?));
        read += of_day.sessions.len();
    }
    Ok(parts)
}

fn time(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or_default()
}
