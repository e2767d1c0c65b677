//! Quasi-random numbers from 0 to 1 that fill the interval evenly, so that rare values are drawn as often as
//! they should be.

use std::collections::HashMap;

use super::{
    kind::{Kind, Profile},
    random::Random,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    Profile,
    Sessions(Profile),
    Duration(Kind, bool),
    Repeats(Kind, bool),
    Client(Profile, bool),
}

impl Place {
    /// The step from one number to the next, as a part of 2^64: fractions of square roots without a common
    /// ratio, so that no two sequences move in step.
    fn step(self) -> u64 {
        match self {
            Self::Profile => 0x3c6e_f372_fe94_f82b,
            Self::Sessions(_) => 0x6a09_e667_f3bc_c908,
            Self::Duration(..) => 0xbb67_ae85_84ca_a73b,
            Self::Repeats(..) => 0xa54f_f53a_5f1d_36f1,
            Self::Client(..) => 0x510e_527f_ade6_82d1,
        }
    }
}

/// The current number of each sequence.
#[derive(Debug, Default)]
pub struct Places(HashMap<Place, u64>);

impl Places {
    /// Returns the next number; the first one is random.
    pub fn next(&mut self, of: Place, random: &mut Random) -> f64 {
        let place = self.0.entry(of).or_insert_with(|| random.bits());
        *place = place.wrapping_add(of.step());
        (*place >> 11) as f64 / (1_u64 << 53) as f64
    }
}
