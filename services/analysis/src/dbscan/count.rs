//! How much weight rows have around them, up to when they are core.

use super::{Clustering, NOISE};

/// So many neighbours of a row that is not core are remembered; of one that has more they are sought again.
const REMEMBERED: usize = 64;

/// What is known so far.
pub struct Count<'a> {
    weights: &'a [f64],
    min_samples: f64,
    sums: Vec<f64>,
    pub core: Vec<bool>,
    /// Of a row that is not core the first [`REMEMBERED`].
    neighbours: Vec<Vec<u32>>,
}

impl<'a> Count<'a> {
    pub fn new(weights: &'a [f64], min_samples: f64) -> Self {
        let core = weights.iter().map(|&weight| weight >= min_samples).collect();
        Self {
            weights,
            min_samples,
            sums: weights.to_vec(),
            core,
            neighbours: vec![Vec::new(); weights.len()],
        }
    }

    /// A row has a neighbour; says whether that made it core.
    pub fn add(&mut self, row: u32, other: u32) -> bool {
        let at = row as usize;
        if self.core[at] {
            return false;
        }
        self.sums[at] += self.weights[other as usize];
        self.core[at] = self.sums[at] >= self.min_samples;
        if self.core[at] {
            self.neighbours[at] = Vec::new();
        } else if self.neighbours[at].len() < REMEMBERED {
            self.neighbours[at].push(other);
        }
        self.core[at]
    }

    /// All neighbours of a row that is not core; `None` if they are too many to be remembered.
    pub fn neighbours(&self, row: usize) -> Option<&[u32]> {
        (self.neighbours[row].len() < REMEMBERED).then_some(&self.neighbours[row])
    }
}

/// The label of a row that is not core, from its neighbours: that of the first cluster that has a core among
/// them.
pub struct Border<'a> {
    clustering: &'a Clustering,
    pub label: i32,
}

impl<'a> Border<'a> {
    pub fn new(clustering: &'a Clustering) -> Self {
        Self { clustering, label: NOISE }
    }

    pub fn add(&mut self, neighbour: u32) {
        let found = self.clustering.labels[neighbour as usize];
        if self.clustering.core[neighbour as usize] && (self.label == NOISE || found < self.label) {
            self.label = found;
        }
    }
}
