//! Counts the distinct values of a set with a bottom-k sketch, exact below [`SIZE`] values.
//!
//! A value's hash is the first 8 bytes of SHA-256 of its text, big endian, as a signed integer. A sketch
//! holds the [`SIZE`] smallest distinct hashes in ascending order. The union of two sketches is therefore the
//! sketch of the union, in any order and with any repetition. Postgres has the same functions and gives the
//! same numbers (`sketch_*` in `streams/store/migrations/0004_panes.sql`).

use sha2::{Digest, Sha256};

/// Number of hashes kept. Below it the count is exact. Above it, the estimate `(k - 1) / U` of Beyer et al.
/// 2007 (On synopses for distinct-value estimation under multiset operations), where U is the largest kept
/// hash on a scale of 0 to 1, has a relative standard error of `1 / sqrt(k - 2)` = 3.13 %.
pub const SIZE: usize = 1_024;

/// The hash of a value. An attacker who chooses values can choose their hashes. So beyond [`SIZE`] values,
/// the estimate only holds for values that were not crafted to deceive it.
pub fn hash(text: &str) -> i64 {
    let digest = Sha256::digest(text.as_bytes());
    i64::from_be_bytes([
        digest[0], digest[1], digest[2], digest[3], digest[4], digest[5], digest[6], digest[7],
    ])
}

/// The sketch of a set of values.
#[derive(Clone, Default, Debug)]
pub struct Sketch {
    /// Sorted and distinct up to `sorted`; values added since then follow.
    hashes: Vec<i64>,
    sorted: usize,
}

impl Sketch {
    /// Restores a sketch that the database holds.
    pub fn stored(hashes: Vec<i64>) -> Self {
        let mut sketch = Self { hashes, sorted: 0 };
        sketch.settle();
        sketch
    }

    /// Adds a value by its [`hash`].
    pub fn add(&mut self, hash: i64) {
        if self.hashes.last() == Some(&hash) {
            return;
        }
        self.hashes.push(hash);
        if self.hashes.len() >= self.sorted + 2 * SIZE {
            self.settle();
        }
    }

    pub fn merge(&mut self, other: &Self) {
        self.hashes.extend(&other.hashes);
        self.settle();
    }

    /// The smallest distinct hashes, ascending, at most [`SIZE`].
    pub fn into_hashes(mut self) -> Vec<i64> {
        self.settle();
        self.hashes
    }

    /// The number of distinct values: exact below [`SIZE`], an estimate from there on.
    pub fn count(&self) -> i64 {
        let mut settled = self.clone();
        settled.settle();
        count(&settled.hashes)
    }

    /// Whether both sketches are equal.
    pub fn same(&self, other: &Self) -> bool {
        self.clone().into_hashes() == other.clone().into_hashes()
    }

    fn settle(&mut self) {
        self.hashes.sort_unstable();
        self.hashes.dedup();
        self.hashes.truncate(SIZE);
        self.sorted = self.hashes.len();
    }
}

/// The count of a sketch that is sorted and has no duplicates.
fn count(hashes: &[i64]) -> i64 {
    match hashes.last() {
        Some(&largest) if hashes.len() >= SIZE => {
            let share = (largest as f64 + 9_223_372_036_854_775_808.0) / 18_446_744_073_709_551_616.0;
            ((SIZE - 1) as f64 / share).round_ties_even() as i64
        }
        _ => hashes.len() as i64,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hashes_are_frozen() {
        assert_eq!(hash(""), -2_039_914_840_885_289_964);
        assert_eq!(
            hash("185.220.101.4"),
            i64::from_be_bytes(Sha256::digest(b"185.220.101.4")[..8].try_into().unwrap())
        );
    }

    #[test]
    fn the_count_is_exact_below_the_size_and_near_beyond() {
        let mut sketch = Sketch::default();
        let mut worst = 0.0_f64;
        let mut squares = 0.0;
        let mut looks = 0.0;
        for n in 1..=200_000_u32 {
            sketch.add(hash(&n.to_string()));
            if n < SIZE as u32 && n % 97 == 0 {
                assert_eq!(sketch.count(), i64::from(n));
            }
            if n > 2_000 && n % 1_000 == 0 {
                let error = sketch.count() as f64 / f64::from(n) - 1.0;
                worst = worst.max(error.abs());
                squares += error * error;
                looks += 1.0;
            }
        }
        let deviation: f64 = f64::sqrt(squares / looks);
        println!("relative error: worst {worst:.4}, root mean square {deviation:.4}");
        // Five standard errors; the samples are not independent.
        assert!(worst < 0.157, "{worst}");
    }

    proptest! {
        #[test]
        fn any_order_and_grouping_gives_the_same_sketch(values in prop::collection::vec(0..3_000_u32, 0..4_000), cuts in prop::collection::vec(0..4_000_usize, 0..5)) {
            let mut whole = Sketch::default();
            values.iter().for_each(|v| whole.add(hash(&v.to_string())));
            let mut merged = Sketch::default();
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(values.len())).collect();
            cuts.sort_unstable();
            cuts.push(values.len());
            let mut from = 0;
            for cut in cuts {
                let mut part = Sketch::default();
                values[from..cut].iter().rev().for_each(|v| part.add(hash(&v.to_string())));
                merged.merge(&part);
                from = cut;
            }
            let mut distinct = values.clone();
            distinct.sort_unstable();
            distinct.dedup();
            if distinct.len() < SIZE {
                prop_assert_eq!(whole.count(), distinct.len() as i64);
            }
            prop_assert_eq!(merged.into_hashes(), whole.into_hashes());
        }
    }
}
