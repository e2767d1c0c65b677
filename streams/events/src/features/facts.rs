//! The numbers of a session before scaling.

use std::collections::{BTreeMap, BTreeSet};

use crate::Record;

/// Numbers of a session; units as in [`super::ELEMENTS`].
#[derive(Default)]
pub(super) struct Facts<'a> {
    pub seconds: f64,
    pub events: f64,
    pub bytes: f64,
    pub logins_failed: f64,
    pub logins_succeeded: f64,
    pub time_to_login: f64,
    pub usernames: f64,
    pub passwords: f64,
    pub login_intervals: Intervals,
    pub password_entropy: f64,
    pub password_is_username: f64,
    pub keys_offered: f64,
    pub commands: f64,
    pub commands_distinct: f64,
    pub commands_failed: f64,
    pub command_length_mean: f64,
    pub command_length_max: f64,
    pub command_entropy: f64,
    pub time_to_command: f64,
    pub command_intervals: Intervals,
    pub downloads: f64,
    pub downloads_failed: f64,
    pub uploads: f64,
    pub files: f64,
    pub forwards: f64,
    pub forward_targets: f64,
    pub forward_data: f64,
    pub telnet: f64,
    pub terminal: f64,
    pub version: Option<&'a str>,
    pub hassh: Option<&'a str>,
}

/// Statistics of the times between consecutive events, in seconds.
#[derive(Clone, Copy, Default)]
pub(super) struct Intervals {
    pub median: f64,
    pub p90: f64,
    pub variation: f64,
}

impl<'a> Facts<'a> {
    /// Computes the numbers from events in order of time, and from their normalised commands.
    pub fn of(events: &[&'a Record], typed: &[&str]) -> Self {
        let kinds = Kinds::of(events);
        let count = |kind: &str| kinds.of_kind(kind).len() as f64;
        let (start, end) =
            (events.iter().find_map(|record| record.ts), events.iter().filter_map(|record| record.ts).max());
        let login = kinds.of_kind("login.success").iter().find_map(|record| record.ts);
        let command = kinds.of_kind("command.input").iter().find_map(|record| record.ts);
        let reported = kinds.of_kind("session.closed").iter().find_map(|record| record.duration_ms);
        let attempts: Vec<_> = events
            .iter()
            .copied()
            .filter(|record| matches!(kind(record), "login.success" | "login.failed"))
            .collect();
        Self {
            seconds: reported.map_or_else(|| seconds(start, end), |ms| ms as f64 / 1_000.0),
            events: events.len() as f64,
            bytes: events.iter().map(|record| record.length as f64).sum(),
            logins_failed: count("login.failed"),
            logins_succeeded: count("login.success"),
            time_to_login: seconds(start, login),
            usernames: distinct(attempts.iter().filter_map(|record| record.username.as_deref())),
            passwords: distinct(attempts.iter().filter_map(|record| record.password.as_deref())),
            login_intervals: Intervals::of(attempts.iter().filter_map(|record| record.ts)),
            password_entropy: mean(
                attempts.iter().filter_map(|record| record.password.as_deref()).map(entropy),
            ),
            password_is_username: mean(attempts.iter().map(|record| {
                f64::from(u8::from(record.username.is_some() && record.username == record.password))
            })),
            keys_offered: count("client.fingerprint"),
            commands: count("command.input"),
            commands_distinct: if typed.is_empty() {
                0.0
            } else {
                distinct(typed.iter().copied()) / typed.len() as f64
            },
            commands_failed: count("command.failed"),
            command_length_mean: mean(typed.iter().map(|text| text.chars().count() as f64)),
            command_length_max: typed.iter().map(|text| text.chars().count() as f64).fold(0.0, f64::max),
            command_entropy: mean(events.iter().filter_map(|record| record.command.as_deref()).map(entropy)),
            time_to_command: seconds(login.or(start), command),
            command_intervals: Intervals::of(
                kinds.of_kind("command.input").iter().filter_map(|record| record.ts),
            ),
            downloads: count("session.file_download"),
            downloads_failed: count("session.file_download.failed"),
            uploads: count("session.file_upload"),
            files: distinct(events.iter().filter_map(|record| record.shasum.as_deref())),
            forwards: count("direct-tcpip.request"),
            forward_targets: distinct(events.iter().filter_map(|record| record.forward.as_deref())),
            forward_data: count("direct-tcpip.data"),
            telnet: f64::from(u8::from(
                events.iter().find_map(|record| record.protocol.as_deref()) == Some("telnet"),
            )),
            terminal: f64::from(u8::from(!kinds.of_kind("client.size").is_empty())),
            version: kinds.of_kind("client.version").iter().find_map(|record| record.version.as_deref()),
            hassh: kinds.of_kind("client.kex").iter().find_map(|record| record.hassh.as_deref()),
        }
    }
}

/// Events by kind, each kind in order of time.
struct Kinds<'a>(BTreeMap<&'a str, Vec<&'a Record>>);

impl<'a> Kinds<'a> {
    fn of(events: &[&'a Record]) -> Self {
        let mut kinds = BTreeMap::<&str, Vec<&Record>>::new();
        for record in events {
            kinds.entry(kind(record)).or_default().push(record);
        }
        Self(kinds)
    }

    fn of_kind(&self, kind: &str) -> &[&'a Record] {
        self.0.get(kind).map_or(&[], Vec::as_slice)
    }
}

/// The event id without `cowrie.`.
fn kind(record: &Record) -> &str {
    record.eventid.strip_prefix("cowrie.").unwrap_or_default()
}

impl Intervals {
    /// Computes the intervals between sorted times in microseconds.
    fn of(times: impl Iterator<Item = i64>) -> Self {
        let times: Vec<i64> = times.collect();
        let mut gaps: Vec<f64> = times.windows(2).map(|pair| (pair[1] - pair[0]) as f64 / 1e6).collect();
        if gaps.is_empty() {
            return Self::default();
        }
        gaps.sort_by(f64::total_cmp);
        let mean = mean(gaps.iter().copied());
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        let variation = if mean > 0.0 { variance.sqrt() / mean } else { 0.0 };
        Self { median: quantile(&gaps, 0.5), p90: quantile(&gaps, 0.9), variation }
    }
}

/// Interpolates linearly between the two nearest values, like numpy's default and SQL's percentile_cont.
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let place = q * (sorted.len() - 1) as f64;
    let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    low + (high - low) * place.fract()
}

/// Seconds from one time to another, 0 if it is not later.
fn seconds(from: Option<i64>, to: Option<i64>) -> f64 {
    from.zip(to).map_or(0.0, |(from, to)| (to - from).max(0) as f64 / 1e6)
}

fn distinct<'a>(values: impl Iterator<Item = &'a str>) -> f64 {
    values.collect::<BTreeSet<_>>().len() as f64
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0_u32), |(sum, count), value| (sum + value, count + 1));
    if count == 0 { 0.0 } else { sum / f64::from(count) }
}

/// Shannon entropy, in bits per byte of UTF-8.
fn entropy(text: &str) -> f64 {
    let mut counts = [0_u32; 256];
    text.bytes().for_each(|byte| counts[usize::from(byte)] += 1);
    let length = text.len() as f64;
    counts
        .iter()
        .filter(|&&count| count > 0)
        .map(|&count| f64::from(count) / length)
        .map(|share| -share * share.log2())
        .sum()
}
