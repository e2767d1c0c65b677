//! DBSCAN of sparse rows through an inverted index: for rows with many features, most of them rare.

use super::{
    Clustering,
    count::{Border, Count},
    postings::{Postings, Ranked, Scratch},
    search::Metric,
    sets::Sets,
    sparse::Unit,
};
use crate::{Stopped, Watch};

/// Rows between two progress reports.
const STRIDE: usize = 8;

/// A search for rows with a cosine distance of at most eps, which is below 1.
pub struct Lookup<M> {
    ranked: Ranked,
    postings: Postings,
    scratch: Scratch,
    metric: M,
    eps: f64,
}

impl<M: Metric> Lookup<M> {
    /// `metric` must be the cosine distance of these rows.
    pub fn new(rows: &Unit, metric: M, eps: f64) -> Self {
        let ranked = Ranked::new(rows);
        let mut postings = Postings::new(&ranked, 1.0 - eps);
        (0..rows.len() as u32).for_each(|row| postings.add(&ranked, row));
        Self { scratch: Scratch::new(rows.len()), ranked, postings, metric, eps }
    }

    pub fn cluster(
        &mut self,
        weights: &[f64],
        min_samples: f64,
        watch: &mut Watch<'_>,
    ) -> Result<Clustering, Stopped> {
        let rows = weights.len();
        let mut count = Count::new(weights, min_samples);
        for row in 0..rows as u32 {
            look(watch, row as usize, rows, (0.0, 0.5))?;
            if !count.core[row as usize] {
                self.neighbours(row, |_| true, |other| !count.add(row, other));
            }
        }
        let mut clustering = self.join(&count.core, watch)?.clusters(count.core.clone());
        for row in (0..rows).filter(|&row| !count.core[row]) {
            look(watch, row, rows, (0.9, 1.0))?;
            let mut border = Border::new(&clustering);
            match count.neighbours(row) {
                Some(neighbours) => neighbours.iter().for_each(|&other| border.add(other)),
                None => self.neighbours(
                    row as u32,
                    |_| true,
                    |other| {
                        border.add(other);
                        true
                    },
                ),
            }
            clustering.labels[row] = border.label;
        }
        watch.at(1.0)?;
        Ok(clustering)
    }

    /// Calls with each other row within eps of `row` for which `wanted` is true. Ends when the call returns
    /// false.
    fn neighbours(
        &mut self,
        row: u32,
        mut wanted: impl FnMut(u32) -> bool,
        mut each: impl FnMut(u32) -> bool,
    ) {
        for &other in self.postings.candidates(&self.ranked, row, &mut self.scratch) {
            if other != row && wanted(other) && self.metric.measure(row, other) <= self.eps && !each(other) {
                return;
            }
        }
    }

    fn join(&mut self, core: &[bool], watch: &mut Watch<'_>) -> Result<Sets, Stopped> {
        let mut sets = Sets::new(core.len());
        let mut found = Vec::new();
        for row in (0..core.len() as u32).filter(|&row| core[row as usize]) {
            look(watch, row as usize, core.len(), (0.5, 0.9))?;
            let first = sets.first(row);
            // Each pair is visited from its later row.
            self.neighbours(
                row,
                |other| other < row && core[other as usize] && sets.first(other) != first,
                |other| {
                    found.push(other);
                    true
                },
            );
            found.drain(..).for_each(|other| sets.join(row, other));
        }
        Ok(sets)
    }
}

fn look(watch: &mut Watch<'_>, row: usize, rows: usize, (from, to): (f64, f64)) -> Result<(), Stopped> {
    if row.is_multiple_of(STRIDE) { watch.at(from + (to - from) * row as f64 / rows as f64) } else { Ok(()) }
}
