//! DBSCAN of dense rows by Euclidean distance.

use ndarray::Array2;

use super::{
    Clustering, Settings,
    blocks::{Blocks, Limit, Values},
    clean_weights,
    search::{Metric, Search},
};
use crate::{Stopped, Watch};

/// Dense rows, prepared for clustering and search.
#[derive(Clone, Debug)]
pub struct Dense {
    rows: usize,
    dimensions: usize,
    values: Vec<f32>,
    /// The same rows with the columns of the greatest variance first, so that most distances exceed a limit
    /// early.
    points: Vec<f32>,
    blocks: Blocks,
}

impl Dense {
    /// Takes rows `[n, d]`. A value that is not finite counts as 0.
    pub fn new(rows: &Array2<f32>) -> Self {
        // Rows without columns are all equal.
        let dimensions = rows.ncols().max(1);
        let mut values: Vec<f32> =
            rows.iter().map(|&value| if value.is_finite() { value } else { 0.0 }).collect();
        values.resize(rows.nrows() * dimensions, 0.0);
        let order = by_variance(&values, dimensions);
        let points: Vec<f32> =
            values.chunks_exact(dimensions).flat_map(|row| order.iter().map(|&column| row[column])).collect();
        let blocks = Blocks::new(&Values { values: &points, dimensions });
        Self { rows: rows.nrows(), dimensions, values, points, blocks }
    }

    /// Clusters the rows. Distances are computed as in scikit-learn's trees: differences and their squares in
    /// f64, summed in the order of columns. With fractional weights, rounding may miss a sum of exactly
    /// `min_samples`.
    pub fn cluster(
        &self,
        weights: &[f64],
        settings: Settings,
        watch: &mut Watch<'_>,
    ) -> Result<Clustering, Stopped> {
        let Settings { eps, min_samples } = settings.clean();
        self.search().cluster(eps * eps, &clean_weights(weights, self.rows), min_samples, watch)
    }

    /// Returns the core nearest to a row and its distance; among equals, the first. `None` when there is no
    /// core.
    pub fn nearest_core(&self, clustering: &Clustering, row: usize) -> Option<(usize, f64)> {
        let (square, core) = self.search().nearest_core(&clustering.core, row as u32)?;
        Some((core as usize, square.sqrt()))
    }

    fn search(&self) -> Search<'_, Euclidean<'_>> {
        let values = |values| Values { values, dimensions: self.dimensions };
        Search { blocks: &self.blocks, points: values(&self.points), metric: Euclidean(values(&self.values)) }
    }
}

/// Returns the columns, those with the greatest variance first.
fn by_variance(values: &[f32], dimensions: usize) -> Vec<usize> {
    let mut sums = vec![(0.0, 0.0); dimensions];
    for row in values.chunks_exact(dimensions) {
        for (&value, (sum, squares)) in row.iter().zip(&mut sums) {
            *sum += f64::from(value);
            *squares += f64::from(value) * f64::from(value);
        }
    }
    let rows = (values.len() / dimensions).max(1) as f64;
    let mut order: Vec<usize> = (0..dimensions).collect();
    order.sort_by(|&a, &b| {
        let variance = |column: usize| sums[column].1 - sums[column].0 * sums[column].0 / rows;
        variance(b).total_cmp(&variance(a))
    });
    order
}

struct Euclidean<'a>(Values<'a>);

impl Metric for Euclidean<'_> {
    fn measure(&mut self, row: u32, other: u32) -> f64 {
        self.0
            .row(row)
            .iter()
            .zip(self.0.row(other))
            .map(|(&a, &b)| f64::from(a) - f64::from(b))
            .map(|gap| gap * gap)
            .sum()
    }

    fn limit(&self, square: f64) -> Limit {
        Limit::new(square, self.0.dimensions)
    }
}
