//! What is to be made.

use std::{collections::BTreeMap, ops::Range};

use super::{cowrie::Cowrie, kind::Profile};

/// All that decides what a log is.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Another seed, another log.
    pub seed: u64,
    /// How many sensors, of one version or of all in turn.
    pub sensors: usize,
    /// Of all sensors; `None`: of all versions in turn.
    pub cowrie: Option<Cowrie>,
    /// The first moment, in microseconds since 1970.
    pub start: i64,
    /// Mean events a second, of all sensors together.
    pub rate: f64,
    /// How much more or less often than learnt the sessions of a profile are.
    pub weights: BTreeMap<Profile, f64>,
    /// Times at which more or fewer attackers come than else.
    pub busy: Vec<Busy>,
    /// Nobody shares a key, a host to load from or a file with others by chance: who shares one belongs
    /// together, and only plants do.
    pub apart: bool,
}

/// A time at which so many times as many attackers come.
#[derive(Clone, Debug, PartialEq)]
pub struct Busy {
    /// In microseconds since 1970.
    pub span: Range<i64>,
    /// Times the usual.
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
    /// How many times the usual attackers come at a moment.
    pub fn factor(&self, at: i64) -> f64 {
        self.busy.iter().filter(|busy| busy.span.contains(&at)).map(|busy| busy.factor).product()
    }
}
