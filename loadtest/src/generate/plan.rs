//! The plan of a log.

use std::{collections::BTreeMap, ops::Range};

use super::{cowrie::Cowrie, kind::Profile};

/// Everything that determines a log.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub sensors: usize,
    /// Version of all sensors; `None`: all versions in turn.
    pub cowrie: Option<Cowrie>,
    /// Start time, in microseconds since 1970.
    pub start: i64,
    /// Mean events per second over all sensors.
    pub rate: f64,
    /// Factors on the frequency of sessions of a profile.
    pub weights: BTreeMap<Profile, f64>,
    /// Times at which more or fewer attackers come than usual.
    pub busy: Vec<Busy>,
    /// No two attackers share a key, a host or a file by chance. Only planted campaigns do.
    pub apart: bool,
}

/// A time span with `factor` times as many attackers as usual.
#[derive(Clone, Debug, PartialEq)]
pub struct Busy {
    /// In microseconds since 1970.
    pub span: Range<i64>,
    pub factor: f64,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            seed: 1,
            sensors: 6,
            cowrie: None,
            start: 1_709_251_200_000_000,
            rate: 20.0,
            weights: BTreeMap::new(),
            busy: Vec::new(),
            apart: false,
        }
    }
}

impl Plan {
    /// The factor on the number of attackers at a point in time.
    pub fn factor(&self, at: i64) -> f64 {
        self.busy.iter().filter(|busy| busy.span.contains(&at)).map(|busy| busy.factor).product()
    }
}
