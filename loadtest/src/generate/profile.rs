//! What was learnt from real logs: counted tables and quantiles, never a line of them.

use std::{collections::BTreeMap, sync::LazyLock};

use serde::{Deserialize, Serialize};

use super::{
    kind::{Kind, Profile},
    random::Random,
    statistics::Statistics,
};

/// The committed profile.
pub static LEARNT: LazyLock<Learnt> = LazyLock::new(|| {
    serde_json::from_str(include_str!("profile.json")).expect("the committed profile is read by a test")
});

/// Tables of the frequent, quantiles of the measured.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Learnt {
    /// What the sources of the tables look like as a whole.
    pub statistics: Statistics,
    /// Sessions by what they are for.
    pub kinds: Vec<KindTable>,
    /// How many sessions an address makes, by who is behind it.
    pub sources: BTreeMap<Profile, SourceTable>,
    /// User name, password.
    pub credentials: Vec<(String, String, u32)>,
    /// User names of SSH logins.
    pub usernames: Vec<(String, u32)>,
    /// Passwords of SSH logins.
    pub passwords: Vec<(String, u32)>,
    /// User name, password over Telnet.
    pub telnet: Vec<(String, String, u32)>,
    /// SSH clients that exchanged keys.
    pub tools: Vec<Tool>,
    /// Versions of clients that did not.
    pub versions: Vec<(String, u32)>,
    /// Host names and ports asked for through the sensor.
    pub targets: Vec<(String, u16, u32)>,
    /// Sizes of terminals as logged.
    pub sizes: Vec<(u16, u16, u32)>,
    /// `arch` of sessions with a shell.
    pub archs: Vec<(String, u32)>,
}

/// Sessions of one kind over one protocol.
#[derive(Debug, Serialize, Deserialize)]
pub struct KindTable {
    /// What they are for.
    pub kind: Kind,
    /// Over Telnet.
    pub telnet: bool,
    /// Of all sessions.
    pub share: f64,
    /// In seconds.
    pub duration: Spread,
    /// Of the event that such a session may hold many of.
    pub repeats: Spread,
    /// Mean number of each event in such a session, by event id without `cowrie.`.
    pub means: BTreeMap<String, f32>,
}

/// Addresses of one profile.
#[derive(Debug, Serialize, Deserialize)]
pub struct SourceTable {
    /// Of all addresses.
    pub share: f64,
    /// Sessions of one.
    pub sessions: Spread,
}

/// An SSH client.
#[derive(Debug, Serialize, Deserialize)]
pub struct Tool {
    /// As sent.
    pub version: String,
    /// Of what follows.
    pub hassh: String,
    /// Key exchange; encryption; integrity; compression.
    pub algorithms: String,
    /// Of host keys.
    pub keys: String,
    /// Sessions.
    pub n: u32,
}

/// Means of equal parts of the sorted values, the last part split once more: the mean of all is kept, and so
/// is the tail.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Spread(Vec<f32>, Vec<f32>);

/// Parts of a spread; of its tail.
const PARTS: usize = 24;
const TAIL: usize = 12;

impl Spread {
    /// Of these values.
    pub fn of(mut values: Vec<f64>) -> Self {
        values.sort_unstable_by(f64::total_cmp);
        let tail = values.split_off(values.len() - values.len() / PARTS);
        Self(parts(&values, PARTS - 1), if tail.is_empty() { parts(&values, 1) } else { parts(&tail, TAIL) })
    }

    /// The value at a place from 0 to 1; between two parts, something between.
    pub fn at(&self, place: f64) -> f64 {
        let Self(parts, tail) = self;
        let at = place * (parts.len() + 1) as f64;
        if at < parts.len() as f64 {
            between(parts, at)
        } else {
            between(tail, (at - parts.len() as f64) * tail.len() as f64)
        }
    }

    /// A whole number whose mean is kept.
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

    /// Of all.
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
    /// The table of a kind over a protocol, where there is one.
    pub fn kind(&self, kind: Kind, telnet: bool) -> Option<&KindTable> {
        self.kinds.iter().find(|table| table.kind == kind && table.telnet == telnet)
    }
}
