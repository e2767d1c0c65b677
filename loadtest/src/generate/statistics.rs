//! The statistics that a generated log must share with real ones, and their comparison.

use std::{
    collections::{BTreeMap, HashMap},
    hash::Hash,
};

use serde::{Deserialize, Serialize};

use super::{
    kind::Profile,
    observed::{Observed, Seen},
};

/// Events that only the newest versions write: they are not part of the shares.
const NOT_SHARED: &[&str] = &["telnet.option", "telnet.exploit_attempt", "client.malformed_packet"];

/// After a gap of this many microseconds, a sensor counts as off, or its log as lost.
const PAUSE: f64 = 600e6;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Statistics {
    pub events: u64,
    pub sessions: u64,
    /// Share of each event id (without `cowrie.`) in all events.
    pub event_shares: BTreeMap<String, f64>,
    /// Share of each kind of attacker in all sessions.
    pub profile_shares: BTreeMap<Profile, f64>,
    pub numbers: BTreeMap<String, f64>,
}

impl Statistics {
    pub fn of<L: AsRef<[u8]>>(lines: impl IntoIterator<Item = L>) -> Self {
        let mut observed = Observed::default();
        for line in lines {
            observed.add(line.as_ref());
        }
        Self::observed(observed)
    }

    pub fn observed(mut observed: Observed) -> Self {
        let seen: Vec<&Seen> = observed.sessions.values().collect();
        let mut events = BTreeMap::<&str, u64>::new();
        let mut profiles = BTreeMap::<Profile, u64>::new();
        for session in &seen {
            session.events.iter().for_each(|(name, n)| *events.entry(name).or_default() += u64::from(*n));
            *profiles.entry(Profile::of(session.kind(), session.telnet)).or_default() += 1;
        }
        let shared: u64 = events.iter().filter(|(name, _)| !NOT_SHARED.contains(name)).map(|(_, n)| n).sum();
        let mut numbers = BTreeMap::new();
        spreads(&seen, &mut numbers);
        shares(&seen, &mut numbers);
        concentrations(&seen, &mut numbers);
        numbers.insert(
            "line length, mean".to_owned(),
            mean(observed.lengths.iter().map(|&length| f64::from(length))),
        );
        quantiles(
            "line length",
            observed.lengths.iter().map(|&length| f64::from(length)),
            &[0.5, 0.9, 0.99],
            &mut numbers,
        );
        gaps(&mut observed.connections, &mut numbers);
        Self {
            events: events.values().sum(),
            sessions: seen.len() as u64,
            event_shares: events
                .iter()
                .filter(|(name, _)| !NOT_SHARED.contains(name))
                .map(|(name, n)| ((*name).to_owned(), *n as f64 / shared as f64))
                .collect(),
            profile_shares: profiles
                .into_iter()
                .map(|(profile, n)| (profile, n as f64 / seen.len() as f64))
                .collect(),
            numbers,
        }
    }
}

fn spreads(seen: &[&Seen], numbers: &mut BTreeMap<String, f64>) {
    let sizes = seen.iter().map(|session| {
        f64::from(
            session
                .events
                .iter()
                .filter(|(name, _)| !NOT_SHARED.contains(&name.as_str()))
                .map(|(_, n)| n)
                .sum::<u32>(),
        )
    });
    quantiles("events in a session", sizes.clone(), &[0.25, 0.5, 0.75, 0.9, 0.95, 0.99], numbers);
    numbers.insert("events in a session, mean".to_owned(), mean(sizes));
    quantiles(
        "session seconds",
        seen.iter().filter_map(|session| session.seconds),
        &[0.1, 0.25, 0.5, 0.75, 0.9, 0.95],
        numbers,
    );
    let attempts = seen
        .iter()
        .map(|session| f64::from(session.count("login.success") + session.count("login.failed")))
        .filter(|&n| n > 0.0);
    numbers.insert("login attempts in a session with any, mean".to_owned(), mean(attempts));
}

fn shares(seen: &[&Seen], numbers: &mut BTreeMap<String, f64>) {
    let mut share = |name: &str, of: &dyn Fn(&Seen) -> bool| {
        numbers.insert(
            name.to_owned(),
            seen.iter().filter(|session| of(session)).count() as f64 / seen.len() as f64,
        );
    };
    share("sessions over Telnet", &|session| session.telnet);
    share("sessions with a right login", &|session| session.count("login.success") > 0);
    share("sessions with a command", &|session| session.count("command.input") > 0);
    share("sessions without an end", &|session| session.count("session.closed") == 0);
    let logins = |name| seen.iter().map(|session| f64::from(session.count(name))).sum::<f64>();
    let (success, failed) = (logins("login.success"), logins("login.failed"));
    numbers.insert("right logins of all logins".to_owned(), success / (success + failed));
}

/// Shares of the most frequent values.
fn concentrations(seen: &[&Seen], numbers: &mut BTreeMap<String, f64>) {
    let mut tops = |name: &str, counts: Vec<u64>, tops: &[usize]| {
        let total: u64 = counts.iter().sum();
        for &top in tops {
            numbers.insert(
                format!("{name}, top {top}"),
                counts.iter().take(top).sum::<u64>() as f64 / total as f64,
            );
        }
    };
    tops("sessions by address", counts(seen.iter().map(|session| &session.source)), &[1, 10, 100]);
    tops("logins by credential", counts(seen.iter().flat_map(|session| &session.credentials)), &[1, 10, 100]);
    tops(
        "SSH sessions by client version",
        counts(seen.iter().filter_map(|session| session.version.as_ref())),
        &[1, 5, 20],
    );
    tops(
        "SSH sessions by hassh",
        counts(seen.iter().filter_map(|session| session.hassh.as_ref())),
        &[1, 5, 20],
    );
    let addresses = counts(seen.iter().map(|session| &session.source)).len();
    numbers.insert("addresses in 1000 sessions".to_owned(), addresses as f64 / seen.len() as f64 * 1000.0);
    let networks = counts(seen.iter().map(|session| {
        session.source.rsplit_once('.').map_or(session.source.as_str(), |(network, _)| network)
    }))
    .len();
    numbers.insert("addresses in a /24 with any, mean".to_owned(), addresses as f64 / networks as f64);
}

/// Seconds between connections of a sensor, relative to their mean: this shows bursts independent of the
/// rate.
fn gaps(connections: &mut BTreeMap<String, Vec<i64>>, numbers: &mut BTreeMap<String, f64>) {
    let mut relative = Vec::new();
    for times in connections.values_mut().filter(|times| times.len() >= 50) {
        times.sort_unstable();
        let gaps: Vec<f64> =
            times.windows(2).map(|pair| (pair[1] - pair[0]) as f64).filter(|&gap| gap < PAUSE).collect();
        let middle = mean(gaps.iter().copied());
        relative.extend(gaps.iter().map(|gap| gap / middle));
    }
    quantiles("gap between connections, of its mean", relative.into_iter(), &[0.5, 0.9], numbers);
}

/// Descending.
pub fn counts<T: Hash + Eq>(items: impl Iterator<Item = T>) -> Vec<u64> {
    let mut counts = HashMap::<T, u64>::new();
    items.for_each(|item| *counts.entry(item).or_default() += 1);
    let mut counts: Vec<u64> = counts.into_values().collect();
    counts.sort_unstable_by(|a, b| b.cmp(a));
    counts
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (mut n, mut sum) = (0_u64, 0.0);
    values.for_each(|value| {
        n += 1;
        sum += value;
    });
    if n == 0 { 0.0 } else { sum / n as f64 }
}

fn quantiles(name: &str, values: impl Iterator<Item = f64>, at: &[f64], numbers: &mut BTreeMap<String, f64>) {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_unstable_by(f64::total_cmp);
    for &p in at {
        let value = sorted.get((p * sorted.len() as f64) as usize).copied().unwrap_or(0.0);
        numbers.insert(format!("{name}, {}th of 100", (p * 100.0).round()), value);
    }
}
