//! What was learnt from real logs: counts and quantiles, no line of them.

use std::{collections::BTreeMap, sync::LazyLock};

use serde::{Deserialize, Serialize};

use super::{
    kind::{Kind, Profile},
    random::Random,
    statistics::Statistics,
};

pub static LEARNT: LazyLock<Learnt> = LazyLock::new(|| {
    serde_json::from_str(include_str!("profile.json")).expect("the committed profile is read by a test")
});

/// Tables of frequent values and quantiles of measured ones.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Learnt {
    /// Statistics of all sources of the tables.
    pub statistics: Statistics,
    pub kinds: Vec<KindTable>,
    /// Number of sessions per address, by kind of attacker.
    pub sources: BTreeMap<Profile, SourceTable>,
    /// User name, password, number of logins.
    pub credentials: Vec<(String, String, u32)>,
    /// User names of SSH logins.
    pub usernames: Vec<(String, u32)>,
    pub passwords: Vec<(String, u32)>,
    /// User name, password over Telnet.
    /// User name and password over Telnet, number of logins.
    pub telnet: Vec<(String, String, u32)>,
    /// SSH clients that exchanged keys.
    pub tools: Vec<Tool>,
    /// Versions of clients that did not.
    pub versions: Vec<(String, u32)>,
    /// Host names and ports of forwarded connections.
    pub targets: Vec<(String, u16, u32)>,
    /// Sizes of terminals as logged.
    pub sizes: Vec<(u16, u16, u32)>,
    /// `arch` of sessions with a shell.
    pub archs: Vec<(String, u32)>,
}

/// Sessions of one kind over one protocol.
#[derive(Debug, Serialize, Deserialize)]
pub struct KindTable {
    pub kind: Kind,
    pub telnet: bool,
    /// Share of all sessions.
    pub share: f64,
    /// Seconds.
    pub duration: Spread,
    /// Numbers of the event that such a session may contain many times.
    pub repeats: Spread,
    /// Mean number of each event in such a session, by event id without `cowrie.`.
    pub means: BTreeMap<String, f32>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct SourceTable {
    /// Share of all addresses.
    pub share: f64,
    pub sessions: Spread,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Tool {
    pub version: String,
    /// MD5 of `algorithms`.
    pub hassh: String,
    /// Key exchange; encryption; integrity; compression.
    pub algorithms: String,
    pub keys: String,
    pub n: u32,
}

/// Means of equal parts of the sorted values; the last part is divided once more. This keeps the mean and the
/// tail.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Spread(Vec<f32>, Vec<f32>);

/// Number of parts of a spread, and of its tail.
const PARTS: usize = 24;
const TAIL: usize = 12;

impl Spread {
    pub fn of(mut values: Vec<f64>) -> Self {
        values.sort_unstable_by(f64::total_cmp);
        let tail = values.split_off(values.len() - values.len() / PARTS);
        Self(parts(&values, PARTS - 1), if tail.is_empty() { parts(&values, 1) } else { parts(&tail, TAIL) })
    }

    /// The value at a position from 0 to 1, interpolated between parts.
    pub fn at(&self, place: f64) -> f64 {
        let Self(parts, tail) = self;
        let at = place * (parts.len() + 1) as f64;
        if at < parts.len() as f64 {
            between(parts, at)
        } else {
            between(tail, (at - parts.len() as f64) * tail.len() as f64)
        }
    }

    /// A whole number; its mean is that of the spread.
    pub fn number(&self, place: f64, random: &mut Random) -> usize {
        let Self(parts, tail) = self;
        let at = place * (parts.len() + 1) as f64;
        let value = match parts.get(at as usize) {
            Some(value) => *value,
            None => tail
                .get(((at - parts.len() as f64) * tail.len() as f64) as usize)
                .or(tail.last())
                .copied()
                .unwrap_or(0.0),
        };
        random.rounded(f64::from(value))
    }

    pub fn mean(&self) -> f64 {
        let Self(parts, tail) = self;
        let tail = tail.iter().map(|&value| f64::from(value)).sum::<f64>() / tail.len().max(1) as f64;
        (parts.iter().map(|&value| f64::from(value)).sum::<f64>() + tail) / (parts.len() + 1) as f64
    }
}

fn between(parts: &[f32], at: f64) -> f64 {
    let last = parts.len().saturating_sub(1);
    let (low, high) = ((at as usize).min(last), (at as usize + 1).min(last));
    let [low, high] = [low, high].map(|i| f64::from(parts.get(i).copied().unwrap_or(0.0)));
    low + (high - low) * (at - at.floor())
}

fn parts(sorted: &[f64], parts: usize) -> Vec<f32> {
    let cut = |i: usize| i * sorted.len() / parts;
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let rounded = |value: f64| ((value * 1000.0).round() / 1000.0) as f32;
    (0..parts).filter(|&i| cut(i) < cut(i + 1)).map(|i| rounded(mean(&sorted[cut(i)..cut(i + 1)]))).collect()
}

impl Learnt {
    /// The table of a kind over a protocol, if there is one.
    pub fn kind(&self, kind: Kind, telnet: bool) -> Option<&KindTable> {
        self.kinds.iter().find(|table| table.kind == kind && table.telnet == telnet)
    }
}
