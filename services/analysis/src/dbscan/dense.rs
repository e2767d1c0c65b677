//! DBSCAN of dense rows by Euclidean distance.

use ndarray::Array2;

use super::{
    Clustering, NOISE, Sets, Settings,
    blocks::{Blocks, LANES, Limit, Values},
    clean_weights,
};
use crate::{Stopped, Watch};

/// Dense rows, ready to be clustered and searched.
#[derive(Clone, Debug)]
pub struct Dense {
    rows: usize,
    dimensions: usize,
    values: Vec<f32>,
    blocks: Blocks,
}

impl Dense {
    /// Of rows `[n, d]`; what is not finite counts as 0.
    pub fn new(rows: &Array2<f32>) -> Self {
        // Rows without columns are all the same.
        let dimensions = rows.ncols().max(1);
        let mut values: Vec<f32> = rows.iter().map(|&value| if value.is_finite() { value } else { 0.0 }).collect();
        values.resize(rows.nrows() * dimensions, 0.0);
        let blocks = Blocks::new(&Values { values: &values, dimensions });
        Self { rows: rows.nrows(), dimensions, values, blocks }
    }

    /// Clusters the rows. A distance counts as scikit-learn's trees count it: differences and their squares in f64, summed in the order of columns.
    pub fn cluster(&self, weights: &[f64], settings: Settings, watch: &mut Watch<'_>) -> Result<Clustering, Stopped> {
        let settings = settings.clean();
        let search = Search::new(self, settings.eps);
        let core = search.cores(&clean_weights(weights, self.rows), settings.min_samples, watch)?;
        let mut sets = search.join(&core, watch)?;
        let mut clustering = sets.clusters(core);
        search.borders(&mut clustering, watch)?;
        watch.at(1.0)?;
        Ok(clustering)
    }

    /// The core nearest to a row and how far it is; of equally near ones the first. `None` when there is no core.
    pub fn nearest_core(&self, clustering: &Clustering, row: usize) -> Option<(usize, f64)> {
        let point = self.row(row as u32);
        let mut sums = [0.0; LANES];
        let mut best: Option<(f64, u32)> = None;
        for (gap, block) in self.blocks.near(point, point, f32::INFINITY) {
            let most = best.map_or(f32::INFINITY, |(square, _)| Limit::new(square, self.dimensions).most);
            if gap > most {
                break;
            }
            let block = &self.blocks.blocks[block as usize];
            let Some(squares) = block.squares(point, most, &mut sums) else { continue };
            for (&square, &other) in squares.iter().zip(&block.rows) {
                if square > most || !clustering.core[other as usize] {
                    continue;
                }
                let found = (self.square(row as u32, other), other);
                if best.is_none_or(|best| found < best) {
                    best = Some(found);
                }
            }
        }
        best.map(|(square, other)| (other as usize, square.sqrt()))
    }

    fn row(&self, row: u32) -> &[f32] {
        Values { values: &self.values, dimensions: self.dimensions }.row(row)
    }

    fn square(&self, a: u32, b: u32) -> f64 {
        self.row(a).iter().zip(self.row(b)).map(|(&a, &b)| f64::from(a) - f64::from(b)).map(|gap| gap * gap).sum()
    }
}

struct Search<'a> {
    of: &'a Dense,
    square: f64,
    limit: Limit,
}

impl<'a> Search<'a> {
    fn new(of: &'a Dense, eps: f64) -> Self {
        Self { of, square: eps * eps, limit: Limit::new(eps * eps, of.dimensions) }
    }

    /// Calls with each row of a block that is within eps of `row`, until that says false.
    fn neighbours(&self, row: u32, block: u32, sums: &mut [f32; LANES], mut each: impl FnMut(u32) -> bool) -> bool {
        let block = &self.of.blocks.blocks[block as usize];
        let Some(squares) = block.squares(self.of.row(row), self.limit.most, sums) else { return true };
        for (&square, &other) in squares.iter().zip(&block.rows) {
            if square <= self.limit.most && (square <= self.limit.sure || self.of.square(row, other) <= self.square) && !each(other) {
                return false;
            }
        }
        true
    }

    fn cores(&self, weights: &[f64], min_samples: f64, watch: &mut Watch<'_>) -> Result<Vec<bool>, Stopped> {
        let mut core: Vec<bool> = weights.iter().map(|&weight| weight >= min_samples).collect();
        self.each_block(watch, (0.0, 0.5), |_, rows, near, sums| {
            for &row in rows {
                let mut sum = 0.0;
                let mut look = |other: u32| {
                    sum += weights[other as usize];
                    sum < min_samples
                };
                if !core[row as usize] {
                    core[row as usize] = !near.iter().all(|&(_, block)| self.neighbours(row, block, sums, &mut look));
                }
            }
        })?;
        Ok(core)
    }

    fn join(&self, core: &[bool], watch: &mut Watch<'_>) -> Result<Sets, Stopped> {
        let mut sets = Sets::new(core.len());
        self.each_block(watch, (0.5, 0.8), |block, rows, near, sums| {
            for &(_, other) in near.iter().filter(|&&(_, other)| other >= block) {
                let others = &self.of.blocks.blocks[other as usize].rows;
                for &row in rows.iter().filter(|&&row| core[row as usize]) {
                    let first = sets.first(row);
                    if others.iter().all(|&other| !core[other as usize] || sets.first(other) == first) {
                        continue;
                    }
                    self.neighbours(row, other, sums, |other| {
                        if core[other as usize] {
                            sets.join(row, other);
                        }
                        true
                    });
                }
            }
        })?;
        Ok(sets)
    }

    /// Rows that are no cores but near one.
    fn borders(&self, clustering: &mut Clustering, watch: &mut Watch<'_>) -> Result<(), Stopped> {
        let Clustering { labels, core, .. } = clustering;
        self.each_block(watch, (0.8, 1.0), |_, rows, near, sums| {
            for &row in rows.iter().filter(|&&row| !core[row as usize]) {
                let mut label = NOISE;
                for &(_, block) in near {
                    self.neighbours(row, block, sums, |other| {
                        let found = labels[other as usize];
                        if core[other as usize] && (label == NOISE || found < label) {
                            label = found;
                        }
                        true
                    });
                }
                labels[row as usize] = label;
            }
        })
    }

    /// Each block, its rows, and the blocks that may be within eps of it, nearest first.
    fn each_block(
        &self,
        watch: &mut Watch<'_>,
        (from, to): (f64, f64),
        mut each: impl FnMut(u32, &[u32], &[(f32, u32)], &mut [f32; LANES]),
    ) -> Result<(), Stopped> {
        let mut sums = [0.0; LANES];
        for (block, rows) in self.of.blocks.blocks.iter().enumerate() {
            watch.at(from + (to - from) * block as f64 / self.of.blocks.blocks.len() as f64)?;
            let near = self.of.blocks.near_block(block as u32, self.limit.most);
            each(block as u32, &rows.rows, &near, &mut sums);
        }
        Ok(())
    }
}
