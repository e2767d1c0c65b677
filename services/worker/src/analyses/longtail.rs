//! Longtail, day by day: days that an earlier run kept are not read again.

use std::{collections::HashMap, ops::Range};

use analysis::{
    Data, Watch,
    autoencoder::Device,
    longtail::{Model, Outcome, Parameters, Part, VERSION, analyse},
};
use chrono::{DateTime, Utc};
use store::{DataRange, DayDigest, LongtailPart, Upserted};

use super::{
    Answer,
    days::{days, is_whole, within},
    desk::Desk,
    load::load,
    micros, span,
};
use crate::attempt::Ended;

/// What a session takes, in microseconds: to be read from the database and made part of its day, and to be
/// analysed with all others. For the bar only; measured over 90 days of 101 901 sessions on two busy cores.
const READ: f64 = 60.0;
const ANALYSE: f64 = 20.0;

/// A day with its part.
type DayPart = (Range<i64>, Part);

/// Of a database.
pub(crate) async fn of_database(
    desk: &Desk,
    parameters: &Parameters,
    range: &DataRange,
    full: bool,
) -> Result<Answer, Ended> {
    desk.tell("looking which days are new", 0.0)?;
    let mut plan = plan(desk, range, full).await?;
    desk.sessions(plan.sessions.unsigned_abs());
    let share = plan.share();
    let mut read = 0;
    for day in days(&micros(range)) {
        if let Some(part) = plan.cached.remove(&day.start) {
            plan.parts.push((day, part));
            continue;
        }
        let at = |sessions: i64| share * sessions as f64 / plan.new.max(1) as f64;
        let digest = plan.digests.remove(&day.start.div_euclid(super::days::DAY));
        let sessions = digest.as_ref().map_or(0, |digest| digest.sessions);
        let part = part(desk, range, &day, digest, (at(read), at(read + sessions))).await?;
        read += sessions;
        plan.parts.push((day, part));
    }
    let known = models(desk, range, full).await?;
    let (sessions, outcome) = outcome(desk, parameters, plan.parts, known, share).await?;
    let kept = if desk.keeps() { Some(keep(desk, parameters, range, &outcome).await?) } else { None };
    desk.tell("done", 1.0)?;
    Ok(Answer {
        findings: outcome.findings,
        summary: outcome.summary,
        sessions,
        cached_sessions: plan.cached_sessions,
        kept,
    })
}

/// What there is to do.
struct Plan {
    /// By number of the day.
    digests: HashMap<i64, DayDigest>,
    /// By its first microsecond.
    cached: HashMap<i64, Part>,
    parts: Vec<DayPart>,
    sessions: i64,
    /// Sessions to be read.
    new: i64,
    cached_sessions: u64,
}

impl Plan {
    /// Of the bar, what reading takes.
    fn share(&self) -> f64 {
        let (reading, analysing) = (READ * self.new as f64, ANALYSE * self.sessions as f64 + 1.0);
        reading / (reading + analysing)
    }
}

async fn plan(desk: &Desk, range: &DataRange, full: bool) -> Result<Plan, Ended> {
    let mut transaction = desk.store()?.begin_long().await?;
    let digests = store::day_digests(&mut transaction, range).await?;
    let parts =
        if full { Vec::new() } else { store::longtail_parts(&mut transaction, range, VERSION).await? };
    drop(transaction);
    let sessions = digests.iter().map(|day| day.sessions).sum();
    let of_day: HashMap<_, _> = digests.iter().map(|day| (day.day, &day.digest)).collect();
    let valid: Vec<_> =
        parts.into_iter().filter(|part| of_day.get(&part.from_at) == Some(&&part.digest)).collect();
    let cached = desk
        .compute((0.0, 0.0), move |_| {
            Ok(valid
                .into_iter()
                .filter_map(|part| Some((part.from_at.timestamp_micros(), Part::from_bytes(&part.part)?)))
                .collect::<HashMap<_, _>>())
        })
        .await?;
    let cached_sessions: u64 = cached.values().map(Part::sessions).sum();
    let digests = digests
        .into_iter()
        .map(|day| (day.day.timestamp_micros().div_euclid(super::days::DAY), day))
        .collect();
    Ok(Plan {
        digests,
        cached,
        parts: Vec::new(),
        sessions,
        new: sessions - cached_sessions.cast_signed(),
        cached_sessions,
    })
}

/// The part of a day, which is kept when the day is whole. A day that has no sessions is not worth a look.
async fn part(
    desk: &Desk,
    range: &DataRange,
    day: &Range<i64>,
    digest: Option<DayDigest>,
    bar: (f64, f64),
) -> Result<Part, Ended> {
    let step = format!("reading {}", time(day.start).format("%Y-%m-%d"));
    desk.tell(&step, bar.0)?;
    let (from, to) = bar;
    let middle = from + (to - from) * 0.8;
    let data = match &digest {
        None => Data::default(),
        Some(digest) => {
            let of_day = DataRange { from: time(day.start), to: time(day.end), sensor: range.sensor.clone() };
            let tell = |loaded: u64| {
                desk.tell(
                    &step,
                    (from + (middle - from) * loaded as f64 / digest.sessions.max(1) as f64).min(middle),
                )
            };
            load(desk.store()?, &of_day, tell).await?
        }
    };
    let keeping = desk.keeps() && is_whole(day) && digest.is_some();
    let (part, bytes) = desk
        .compute((middle, to), move |watch| {
            let part = Part::of(&data, watch)?;
            let bytes = if keeping { part.to_bytes() } else { Vec::new() };
            Ok((part, bytes))
        })
        .await?;
    if let (true, Some(digest)) = (keeping, digest) {
        let row = LongtailPart {
            from_at: time(day.start),
            digest: digest.digest,
            sessions: part.sessions().cast_signed(),
            part: bytes,
        };
        let mut transaction = desk.store()?.begin().await?;
        store::put_longtail_part(&mut transaction, range, VERSION, &row).await?;
        desk.commit(transaction).await?;
    }
    Ok(part)
}

/// The models that earlier runs kept.
async fn models(desk: &Desk, range: &DataRange, full: bool) -> Result<Vec<Vec<u8>>, Ended> {
    if full {
        return Ok(Vec::new());
    }
    Ok(store::longtail_models(&mut *desk.store()?.connection().await?, range, VERSION).await?)
}

async fn outcome(
    desk: &Desk,
    parameters: &Parameters,
    parts: Vec<DayPart>,
    known: Vec<Vec<u8>>,
    from: f64,
) -> Result<(u64, Outcome), Ended> {
    let mine = parameters.clone();
    // Another worker may have one.
    let device = Device::open().map_err(|error| Ended::Retry(error.into()))?;
    desk.compute((from, 0.99), move |watch| {
        let known = known.iter().filter_map(|bytes| Model::from_bytes(bytes)).collect();
        let outcome = analyse(&borrowed(&parts), known, &mine, &device, watch)?;
        Ok((parts.iter().map(|(_, part)| part.sessions()).sum(), outcome))
    })
    .await
}

fn borrowed(parts: &[DayPart]) -> Vec<(Range<i64>, &Part)> {
    parts.iter().map(|(day, part)| (day.clone(), part)).collect()
}

async fn keep(
    desk: &Desk,
    parameters: &Parameters,
    range: &DataRange,
    outcome: &Outcome,
) -> Result<Upserted, Ended> {
    desk.tell("keeping what was found", 0.99)?;
    let mut transaction = desk.store()?.begin_long().await?;
    let kept = store::upsert_findings(&mut transaction, desk.job_id(), &outcome.findings).await?;
    store::replace_longtail_scores(
        &mut transaction,
        range,
        desk.job_id(),
        parameters.threshold,
        &outcome.scores,
    )
    .await?;
    if let Some(model) = &outcome.model {
        store::put_longtail_model(&mut transaction, range, VERSION, model.id(), &model.to_bytes()).await?;
    }
    store::forget_longtail(&mut transaction, range).await?;
    desk.commit(transaction).await?;
    Ok(kept)
}

/// Of a data set in memory.
pub(crate) async fn of_data(desk: &Desk, parameters: &Parameters, data: Data) -> Result<Answer, Ended> {
    let sessions = data.sessions.len() as u64;
    desk.sessions(sessions);
    let parts = desk
        .compute((0.0, 0.3), move |watch| {
            let all = days(&span(&data));
            let mut parts: Vec<DayPart> = Vec::with_capacity(all.len());
            let (mut read, total) = (0, data.sessions.len().max(1) as f64);
            for day in all {
                let of_day = within(&data, &day);
                // A watch of its own, for days are parts of this one.
                let mut tell = |_: &str, part: f64| {
                    watch.at((read as f64 + part * of_day.sessions.len() as f64) / total).is_ok()
                };
                parts.push((day, Part::of(&of_day, &mut Watch::new(&mut tell))?));
                read += of_day.sessions.len();
            }
            Ok(parts)
        })
        .await?;
    let (_, outcome) = outcome(desk, parameters, parts, Vec::new(), 0.3).await?;
    desk.tell("done", 1.0)?;
    Ok(Answer {
        findings: outcome.findings,
        summary: outcome.summary,
        sessions,
        cached_sessions: 0,
        kept: None,
    })
}

fn time(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or_default()
}
