//! DBSCAN (Ester, Kriegel, Sander, Xu 1996) of weighted rows: exact, with the cluster numbers of
//! scikit-learn.
//!
//! A row is *core* when the weights of the rows within `eps`, its own included, sum to at least
//! `min_samples`. Cores within `eps` of each other belong to one cluster. A row that is not core belongs to
//! the first cluster with a core within `eps`, or is noise. So a row of weight w counts as w equal rows.
//!
//! Lists of neighbours are not stored, so that memory is linear. Not all pairs are compared: rows are divided
//! into boxes of neighbours, and boxes are skipped when they are too far apart or when their cores are
//! already joined.

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

/// The label of rows that belong to no cluster.
pub const NOISE: i32 = -1;

#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Settings {
    /// Rows at most this far apart are neighbours. A value that is negative or NaN counts as 0.
    pub eps: f64,
    /// Least weight around a core. With NaN, no row is core.
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

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Clustering {
    /// The cluster of each row, numbered from 0 in the order of their first cores, or [`NOISE`].
    pub labels: Vec<i32>,
    pub core: Vec<bool>,
    pub clusters: usize,
}

/// Returns a weight for each row; one that is missing, negative or not finite counts as 0.
fn clean_weights(weights: &[f64], rows: usize) -> Vec<f64> {
    (0..rows)
        .map(|row| weights.get(row).copied().filter(|weight| weight.is_finite()).unwrap_or(0.0).max(0.0))
        .collect()
}
