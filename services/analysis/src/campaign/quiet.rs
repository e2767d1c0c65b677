//! Describes the sessions of a campaign as a whole: how quiet each source is, how many more sessions there
//! are than usual, and their rhythm.

use std::{collections::BTreeMap, ops::Range};

use serde_json::{Value, json};

use super::source::Source;
use crate::{
    Data,
    data::{Session, Text},
    statistics::ln_beta_binomial_upper_tail,
};

/// A source with this many sessions within [`SHORT`] is not quiet: rules that look at one source would see
/// it.
const BURST: usize = 10;
/// Ten minutes, in microseconds.
const SHORT: i64 = 600_000_000;
/// A quiet source has at most this many sessions on each of its days, on average.
const PER_DAY: f64 = 24.0;
/// A campaign is quiet when at least this share of its sources is.
const MOSTLY: f64 = 0.8;
const DAY: i64 = 86_400_000_000;

pub(super) struct Overview {
    /// In order of time.
    pub sessions: Vec<u32>,
    /// Share of the sources that are quiet.
    pub quiet: f64,
    pub evidence: Value,
}

impl Overview {
    pub fn of(data: &Data, range: &Range<i64>, members: &[&Source]) -> Self {
        let mut sessions: Vec<u32> =
            members.iter().flat_map(|source| source.sessions.iter().copied()).collect();
        sessions.sort_unstable();
        let starts: Vec<i64> = sessions.iter().map(|&index| data.sessions[index as usize].started).collect();
        let quiet = members.iter().filter(|source| is_quiet(data, source)).count() as f64
            / members.len().max(1) as f64;
        let most = members.iter().map(|source| source.sessions.len()).max().unwrap_or(0);
        let evidence = json!({
            "quiet_share": quiet,
            "most_sessions_of_a_source": most,
            "aggregate_excess": excess(data, range, &sessions),
            "interval_variation": variation(&starts),
            "timeline": timeline(data, members),
        });
        Self { sessions, quiet, evidence }
    }

    pub fn is_quiet(&self) -> bool {
        self.quiet >= MOSTLY
    }
}

/// Whether no rule that looks at one source would see this source.
pub(super) fn is_quiet(data: &Data, source: &Source) -> bool {
    let starts: Vec<i64> =
        source.sessions.iter().map(|&index| data.sessions[index as usize].started).collect();
    let burst = starts.windows(BURST).any(|window| window[BURST - 1].saturating_sub(window[0]) < SHORT);
    let mut days: Vec<i64> = starts.iter().map(|start| start.div_euclid(DAY)).collect();
    days.dedup();
    !burst && starts.len() as f64 <= PER_DAY * days.len() as f64
}

/// Compares the sessions with the campaign's clients during the campaign with the number expected from their
/// share before and after: the upper tail of the beta-binomial whose prior is that share (as Javed & Paxson,
/// CCS 2013, compare failed logins of all users with their usual share).
fn excess(data: &Data, range: &Range<i64>, sessions: &[u32]) -> Value {
    let client = |session: &Session| session.hassh.or(session.client);
    let mut clients = BTreeMap::<Option<Text>, usize>::new();
    for &index in sessions {
        *clients.entry(client(&data.sessions[index as usize])).or_default() += 1;
    }
    clients.retain(|_, count| *count * 5 >= sessions.len());
    let (Some(&first), Some(&last)) = (sessions.first(), sessions.last()) else { return Value::Null };
    let span = data.sessions[first as usize].started..=data.sessions[last as usize].started;
    let (mut inside, mut outside) = ((0_u64, 0_u64), (0_u64, 0_u64));
    for session in data.sessions.iter().filter(|session| range.contains(&session.started)) {
        let side = if span.contains(&session.started) { &mut inside } else { &mut outside };
        side.0 += u64::from(clients.contains_key(&client(session)));
        side.1 += 1;
    }
    if outside.1 == 0 {
        // The campaign lasts as long as the data, so there is nothing to compare it with.
        return Value::Null;
    }
    let share = (outside.0 as f64 + 1.0) / (outside.1 as f64 + 2.0);
    let ln_p = ln_beta_binomial_upper_tail(
        inside.0,
        inside.1,
        outside.0 as f64 + 1.0,
        (outside.1 - outside.0) as f64 + 1.0,
    );
    json!({ "observed": inside.0, "expected": share * inside.1 as f64, "log10_p": ln_p / std::f64::consts::LN_10, "usual_share": share })
}

/// Standard deviation divided by mean of the times between sessions: about 1 for random arrivals, less when a
/// scheduler spaces them out, more for bursts.
fn variation(starts: &[i64]) -> Option<f64> {
    let gaps: Vec<f64> = starts.windows(2).map(|pair| pair[1].saturating_sub(pair[0]) as f64).collect();
    let mean = gaps.iter().sum::<f64>() / gaps.len().max(1) as f64;
    let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len().max(1) as f64;
    (gaps.len() >= 5 && mean > 0.0).then(|| variance.sqrt() / mean)
}

/// Counts sessions and sources by day.
fn timeline(data: &Data, members: &[&Source]) -> Value {
    let mut days = BTreeMap::<i64, (usize, usize)>::new();
    for source in members {
        let mut before = None;
        for &index in &source.sessions {
            let day = data.sessions[index as usize].started.div_euclid(DAY);
            let counts = days.entry(day).or_default();
            counts.0 += 1;
            counts.1 += usize::from(before.replace(day) != Some(day));
        }
    }
    days.into_iter().map(|(day, (sessions, sources))| json!({ "day": super::report::date(day), "sessions": sessions, "sources": sources })).collect()
}
