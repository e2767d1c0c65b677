//! DBSCAN (Ester, Kriegel, Sander, Xu 1996) of weighted rows: exact, and numbered as scikit-learn numbers.
//!
//! A row is *core* when the weights within `eps` of it, its own included, come to `min_samples`. Cores within `eps` of each other are of one cluster;
//! a row that is none is of the first cluster it is within `eps` of a core of, or noise. So a row of weight w counts as w equal rows.
//!
//! Neither search keeps lists of neighbours, so that memory is linear, and neither compares all pairs: [`Dense`] cuts space into boxes, [`Sparse`] looks
//! features up.

mod blocks;
mod dense;
mod postings;
mod sparse;

pub use dense::Dense;
pub use sparse::Sparse;

/// The label of rows of no cluster.
pub const NOISE: i32 = -1;

/// What may be chosen.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Settings {
    /// Rows at most this far apart are neighbours; what is negative or not a number counts as 0.
    pub eps: f64,
    /// How much weight a core has around it; with what is not a number none is core.
    pub min_samples: f64,
}

impl Settings {
    fn clean(self) -> Self {
        Self { eps: if self.eps > 0.0 { self.eps } else { 0.0 }, min_samples: if self.min_samples.is_nan() { f64::INFINITY } else { self.min_samples } }
    }
}

/// What came out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Clustering {
    /// Of each row the cluster, numbered from 0 in the order of their first cores; [`NOISE`] for none.
    pub labels: Vec<i32>,
    /// Whether a row is core.
    pub core: Vec<bool>,
    /// How many clusters.
    pub clusters: usize,
}

/// Sets of cores that grow together.
struct Sets(Vec<u32>);

impl Sets {
    fn new(rows: usize) -> Self {
        Self((0..rows as u32).collect())
    }

    /// The first row of the set of this row.
    fn first(&mut self, row: u32) -> u32 {
        let mut at = row;
        while self.0[at as usize] != at {
            let above = self.0[self.0[at as usize] as usize];
            self.0[at as usize] = above;
            at = above;
        }
        at
    }

    fn join(&mut self, a: u32, b: u32) {
        let (a, b) = (self.first(a), self.first(b));
        self.0[a.max(b) as usize] = a.min(b);
    }

    /// Each set of cores is a cluster; all else is noise so far.
    fn clusters(&mut self, core: Vec<bool>) -> Clustering {
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

/// The weight of each row; what is missing, negative or not finite counts as 0.
fn clean_weights(weights: &[f64], rows: usize) -> Vec<f64> {
    (0..rows).map(|row| weights.get(row).copied().filter(|weight| weight.is_finite()).unwrap_or(0.0).max(0.0)).collect()
}
