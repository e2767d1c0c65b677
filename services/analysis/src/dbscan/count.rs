//! Adds up the weight around each row until it is core.

use super::{Clustering, NOISE};

/// Most neighbours remembered for a row that is not core. If it has more, they are searched again.
const REMEMBERED: usize = 64;

pub struct Count<'a> {
    weights: &'a [f64],
    min_samples: f64,
    sums: Vec<f64>,
    pub core: Vec<bool>,
    /// The first [`REMEMBERED`] neighbours of each row that is not core.
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

    /// Adds a neighbour of a row. Returns whether that made the row core.
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

    /// Returns all neighbours of a row that is not core, or `None` if there were too many to remember.
    pub fn neighbours(&self, row: usize) -> Option<&[u32]> {
        (self.neighbours[row].len() < REMEMBERED).then_some(&self.neighbours[row])
    }
}

/// Finds the label of a row that is not core: the first cluster with a core among its neighbours.
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
