//! DBSCAN of sparse rows by cosine distance.

use super::{
    Clustering, Settings,
    blocks::{Blocks, Limit, Values},
    clean_weights,
    lookup::Lookup,
    project::{MOST_FEATURES, project},
    search::{Metric, Search},
    sets::Sets,
};
use crate::{Stopped, Watch, tfidf::Row};

/// Error bound of the squared distances of points, which have a length of at most 1.
const SLACK: f64 = 2e-5;

/// Sparse rows, prepared for clustering and search.
#[derive(Clone, Debug)]
pub struct Sparse {
    /// A point for each row; two points are no further apart than their rows.
    points: Vec<f32>,
    dimensions: usize,
    blocks: Blocks,
    rows: Unit,
    /// The place of each row in `ordered`, which stores the rows of a block one after the other.
    places: Vec<u32>,
    ordered: Unit,
}

/// Rows of length 1, or 0 for empty rows.
#[derive(Clone, Debug)]
pub struct Unit {
    /// Where each row begins, and where the last one ends.
    starts: Vec<usize>,
    features: Vec<u32>,
    values: Vec<f64>,
}

impl Default for Unit {
    fn default() -> Self {
        Self { starts: vec![0], features: Vec::new(), values: Vec::new() }
    }
}

impl Unit {
    fn new(rows: &[Row]) -> Self {
        let mut unit = Self::default();
        for row in rows {
            let kept = || row.iter().filter(|(_, value)| value.is_finite() && *value > 0.0);
            // Same order and operations as scikit-learn, so that a distance of exactly eps is one there too.
            let length = kept().map(|(_, value)| value * value).sum::<f64>().sqrt();
            let fits = length.is_finite() && length > 0.0;
            unit.push(kept().filter(|_| fits).map(|&(feature, value)| (feature, value / length)));
        }
        unit
    }

    fn push(&mut self, row: impl Iterator<Item = (u32, f64)>) {
        for (feature, value) in row {
            self.features.push(feature);
            self.values.push(value);
        }
        self.starts.push(self.features.len());
    }

    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// The number of features, up to the greatest one that occurs.
    pub fn features(&self) -> usize {
        self.features.iter().max().map_or(0, |&feature| feature as usize + 1)
    }

    pub fn row(&self, row: usize) -> (&[u32], &[f64]) {
        let range = self.starts[row]..self.starts[row + 1];
        (&self.features[range.clone()], &self.values[range])
    }
}

impl Sparse {
    /// Takes rows with ascending features and scales them to length 1. A value that is not finite or not
    /// positive counts as 0.
    pub fn new(rows: &[Row]) -> Self {
        let rows = Unit::new(rows);
        let (points, dimensions) = project(&rows);
        let blocks = Blocks::new(&Values { values: &points, dimensions });
        let mut places = vec![0; rows.len()];
        let mut ordered = Unit::default();
        for &row in blocks.blocks.iter().flat_map(|block| &block.rows) {
            places[row as usize] = ordered.len() as u32;
            let (features, values) = rows.row(row as usize);
            ordered.push(features.iter().zip(values).map(|(&feature, &value)| (feature, value)));
        }
        Self { points, dimensions, blocks, rows, places, ordered }
    }

    /// Clusters the rows. A distance is 1 − Σ, summed in f64 in the order of features, as in scikit-learn; a
    /// row without values is near no other. With fractional weights, rounding may miss a sum of exactly
    /// `min_samples`.
    pub fn cluster(
        &self,
        weights: &[f64],
        settings: Settings,
        watch: &mut Watch<'_>,
    ) -> Result<Clustering, Stopped> {
        let Settings { eps, min_samples } = settings.clean();
        let weights = clean_weights(weights, self.places.len());
        if eps < 1.0 && self.rows.features() > MOST_FEATURES {
            return Lookup::new(&self.rows, self.search().metric, eps).cluster(&weights, min_samples, watch);
        }
        if eps < 1.0 {
            return self.search().cluster(eps, &weights, min_samples, watch);
        }
        // No product is negative, so all rows are neighbours.
        let core = vec![weights.iter().sum::<f64>() >= min_samples; weights.len()];
        let mut sets = Sets::new(weights.len());
        (1..weights.len() as u32).for_each(|row| sets.join(0, row));
        Ok(sets.clusters(core))
    }

    /// Returns the core nearest to a row and its distance in [0, 1]; among equals, the first. `None` when
    /// there is no core.
    pub fn nearest_core(&self, clustering: &Clustering, row: usize) -> Option<(usize, f64)> {
        let (distance, core) = self.search().nearest_core(&clustering.core, row as u32)?;
        Some((core as usize, distance))
    }

    fn search(&self) -> Search<'_, Cosine<'_>> {
        let metric = Cosine {
            rows: &self.ordered,
            places: &self.places,
            spread: vec![0.0; self.ordered.features()],
            of: None,
        };
        Search {
            blocks: &self.blocks,
            points: Values { values: &self.points, dimensions: self.dimensions },
            metric,
        }
    }
}

struct Cosine<'a> {
    rows: &'a Unit,
    places: &'a [u32],
    /// One row, expanded over all features, and its number.
    spread: Vec<f64>,
    of: Option<u32>,
}

impl Metric for Cosine<'_> {
    fn measure(&mut self, row: u32, other: u32) -> f64 {
        if row == other {
            return 0.0;
        }
        if self.of != Some(row) {
            if let Some(before) = self.of {
                self.rows
                    .row(self.places[before as usize] as usize)
                    .0
                    .iter()
                    .for_each(|&feature| self.spread[feature as usize] = 0.0);
            }
            let (features, values) = self.rows.row(self.places[row as usize] as usize);
            features.iter().zip(values).for_each(|(&feature, &value)| self.spread[feature as usize] = value);
            self.of = Some(row);
        }
        let (features, values) = self.rows.row(self.places[other as usize] as usize);
        let product: f64 =
            features.iter().zip(values).map(|(&feature, value)| self.spread[feature as usize] * value).sum();
        (1.0 - product).clamp(0.0, 2.0)
    }

    /// The squared distance of rows of length 1 is twice their cosine distance.
    fn limit(&self, distance: f64) -> Limit {
        Limit { sure: -1.0, most: (2.0 * distance + SLACK) as f32 }
    }
}
