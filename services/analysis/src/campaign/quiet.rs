//! What a campaign's sessions look like as a whole: how quiet each source is, how much more there is than
//! usual, and the rhythm of all of them.

use std::{collections::BTreeMap, ops::Range};

use serde_json::{Value, json};

use super::source::Source;
use crate::{
    Data,
    data::{Session, Text},
    statistics::ln_beta_binomial_upper_tail,
};

/// A source is quiet when it never has so many sessions within [`SHORT`]: what a rule per source looks for.
const BURST: usize = 10;
/// Ten minutes, in microseconds.
const SHORT: i64 = 600_000_000;
/// And when it has no more than so many on a day that it is there, on average.
const PER_DAY: f64 = 24.0;
/// A campaign is quiet when such a share of its sources is.
const MOSTLY: f64 = 0.8;
const DAY: i64 = 86_400_000_000;

/// Of the sessions of a campaign.
pub(super) struct Overview {
    /// In the order of time.
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

/// Whether no rule that looks at one source would see it.
pub(super) fn is_quiet(data: &Data, source: &Source) -> bool {
    let starts: Vec<i64> =
        source.sessions.iter().map(|&index| data.sessions[index as usize].started).collect();
    let burst = starts.windows(BURST).any(|window| window[BURST - 1].saturating_sub(window[0]) < SHORT);
    let mut days: Vec<i64> = starts.iter().map(|start| start.div_euclid(DAY)).collect();
    days.dedup();
    !burst && starts.len() as f64 <= PER_DAY * days.len() as f64
}

/// How many more sessions with the campaign's clients there are while it lasts than their share before and
/// after lets expect: the upper tail of the beta-binomial whose prior is that share (as Javed & Paxson, CCS
/// 2013, hold failed logins of all users against their usual share).
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
        // It lasts as long as the data: there is nothing to hold it against.
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

/// Standard deviation of the times between sessions by their mean: about 1 when they come at random, less
/// when somebody deals them out, more in bursts.
fn variation(starts: &[i64]) -> Option<f64> {
    let gaps: Vec<f64> = starts.windows(2).map(|pair| pair[1].saturating_sub(pair[0]) as f64).collect();
    let mean = gaps.iter().sum::<f64>() / gaps.len().max(1) as f64;
    let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len().max(1) as f64;
    (gaps.len() >= 5 && mean > 0.0).then(|| variance.sqrt() / mean)
}

/// Sessions and sources by day.
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
