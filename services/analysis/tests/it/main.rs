//! Tests the numerics against definitions and against scikit-learn and scipy, and with hostile input.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::needless_range_loop,
    reason = "tests, and some of them measure"
)]

mod campaigns;
mod hostile;
mod hostile_analyses;
mod parity;
mod properties;
mod speed;

use analysis::Watch;
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};

/// Runs with a watch that never cancels.
fn unwatched<T>(run: impl FnOnce(&mut Watch<'_>) -> Result<T, analysis::Stopped>) -> T {
    let mut tell = |_: &str, _: f64| true;
    run(&mut Watch::new(&mut tell)).expect("nothing stopped it")
}

struct Random(ChaCha8Rng);

impl Random {
    fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    fn below(&mut self, end: usize) -> usize {
        self.0.next_u64() as usize % end
    }

    fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Approximately standard normal.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }

    /// Up to five of `features` features, all with the same value.
    fn set(&mut self, features: usize) -> analysis::tfidf::Row {
        let chosen: std::collections::BTreeSet<usize> =
            (0..1 + self.below(5)).map(|_| self.below(features)).collect();
        chosen.into_iter().map(|feature| (feature as u32, 1.0)).collect()
    }

    /// Texts like commands: templates with some words replaced, and some texts of their own.
    fn texts(&mut self, count: usize, words: usize) -> Vec<String> {
        let templates: Vec<Vec<usize>> = (0..count.div_ceil(12))
            .map(|_| (0..4 + self.below(20)).map(|_| self.below(words)).collect())
            .collect();
        let mut texts = Vec::new();
        while texts.len() < count {
            let mut text = templates[self.below(templates.len())].clone();
            for _ in 0..self.below(4) {
                let at = self.below(text.len());
                text[at] = self.below(words);
            }
            if self.below(8) == 0 {
                text = (0..self.below(12)).map(|_| self.below(words)).collect();
            }
            texts.push(
                text.iter().map(|word| format!("W{word}/é_{}", word % 3)).collect::<Vec<_>>().join("; "),
            );
        }
        texts
    }

    /// Rows `[n, d]` with few distinct values around some centres, like features of sessions.
    fn levels(&mut self, rows: usize, columns: usize) -> ndarray::Array2<f32> {
        let centres: Vec<Vec<f32>> = (0..rows.div_ceil(40))
            .map(|_| {
                (0..columns)
                    .map(|_| if self.below(3) == 0 { self.below(9) as f32 / 8.0 } else { 0.0 })
                    .collect()
            })
            .collect();
        let mut all = ndarray::Array2::zeros((rows, columns));
        for mut row in all.rows_mut() {
            let centre = &centres[self.below(centres.len())];
            row.iter_mut().zip(centre).for_each(|(value, centre)| *value = *centre);
            for _ in 0..self.below(6) {
                row[self.below(columns)] = self.below(9) as f32 / 8.0;
            }
        }
        all
    }
}
