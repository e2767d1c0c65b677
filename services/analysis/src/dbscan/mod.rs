//! DBSCAN (Ester, Kriegel, Sander, Xu 1996) of weighted rows: exact, and numbered as scikit-learn numbers.
//!
//! A row is *core* when the weights within `eps` of it, its own included, come to `min_samples`. Cores within
//! `eps` of each other are of one cluster; a row that is none is of the first cluster it is within `eps` of a
//! core of, or noise. So a row of weight w counts as w equal rows.
//!
//! Lists of neighbours are not kept, so that memory is linear, and not all pairs are compared: rows are cut
//! into boxes of neighbours, boxes too far apart are passed over, and so is what would join cores that are
//! joined already.

mod blocks;
mod count;
mod dense;
mod lookup;
mod postings;
mod project;
mod search;
mod sets;
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
        Self {
            eps: if self.eps > 0.0 { self.eps } else { 0.0 },
            min_samples: if self.min_samples.is_nan() { f64::INFINITY } else { self.min_samples },
        }
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

/// The weight of each row; what is missing, negative or not finite counts as 0.
fn clean_weights(weights: &[f64], rows: usize) -> Vec<f64> {
    (0..rows)
        .map(|row| weights.get(row).copied().filter(|weight| weight.is_finite()).unwrap_or(0.0).max(0.0))
        .collect()
}
