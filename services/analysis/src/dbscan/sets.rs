//! Union-find of cores.

use super::{Clustering, NOISE};

/// Disjoint sets of cores.
pub struct Sets(Vec<u32>);

impl Sets {
    pub fn new(rows: usize) -> Self {
        Self((0..rows as u32).collect())
    }

    /// Returns the first row of the set of a row.
    pub fn first(&mut self, row: u32) -> u32 {
        let mut at = row;
        while self.0[at as usize] != at {
            let above = self.0[self.0[at as usize] as usize];
            self.0[at as usize] = above;
            at = above;
        }
        at
    }

    pub fn join(&mut self, a: u32, b: u32) {
        let (a, b) = (self.first(a), self.first(b));
        self.0[a.max(b) as usize] = a.min(b);
    }

    /// Makes each set of cores a cluster, and all other rows noise.
    pub fn clusters(&mut self, core: Vec<bool>) -> Clustering {
        let mut labels = vec![NOISE; core.len()];
        let mut clusters = 0;
        for row in 0..core.len() {
            if !core[row] {
                continue;
            }
            let first = self.first(row as u32) as usize;
            if first == row {
                labels[row] = clusters;
                clusters += 1;
            } else {
                labels[row] = labels[first];
            }
        }
        Clustering { labels, core, clusters: clusters as usize }
    }
}
