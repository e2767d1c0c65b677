//! DBSCAN of sparse rows by cosine distance.

use super::{
    Clustering, NOISE, Sets, Settings, clean_weights,
    postings::{Postings, Ranked, Scratch},
};
use crate::{Stopped, Watch, tfidf::Row};

/// Rows between two looks at the watch.
const STRIDE: usize = 32;
/// A row is of a cell when it is nearer to its leader than half of eps, by angle, and by this much of the cosine: then rounding cannot make two rows of a cell
/// further apart than eps.
const MARGIN: f64 = 1e-9;

/// Sparse rows, ready to be clustered and searched.
#[derive(Clone, Debug)]
pub struct Sparse {
    /// Where each row begins, and where the last ends.
    starts: Vec<usize>,
    features: Vec<u32>,
    /// Rows of length 1, or 0.
    values: Vec<f64>,
    ranked: Ranked,
}

impl Sparse {
    /// Of rows with ascending features; they are brought to length 1. Values that are not finite or not positive count as 0.
    pub fn new(rows: &[Row]) -> Self {
        let mut sparse = Self { starts: vec![0], features: Vec::new(), values: Vec::new(), ranked: Ranked::default() };
        for row in rows {
            let kept = || row.iter().filter(|(_, value)| value.is_finite() && *value > 0.0);
            // In the order and with the operations of scikit-learn, so that a distance of just eps is one there too.
            let length = kept().map(|(_, value)| value * value).sum::<f64>().sqrt();
            if length.is_finite() && length > 0.0 {
                sparse.features.extend(kept().map(|(feature, _)| feature));
                sparse.values.extend(kept().map(|(_, value)| value / length));
            }
            sparse.starts.push(sparse.features.len());
        }
        sparse.rank();
        sparse
    }

    /// How many rows.
    fn rows(&self) -> usize {
        self.starts.len() - 1
    }

    /// Renames features by how frequent they are, and turns rows around.
    fn rank(&mut self) {
        let features = self.features.iter().max().map_or(0, |&feature| feature as usize + 1);
        let mut frequency = vec![0_u32; features];
        self.features.iter().for_each(|&feature| frequency[feature as usize] += 1);
        let mut order: Vec<u32> = (0..features as u32).collect();
        order.sort_by_key(|&feature| std::cmp::Reverse(frequency[feature as usize]));
        let mut ranks = vec![0; features];
        (0..).zip(&order).for_each(|(rank, &feature)| ranks[feature as usize] = rank);
        let mut ranked = Ranked { starts: self.starts.clone(), features, ..Ranked::default() };
        for row in 0..self.rows() {
            let range = self.starts[row]..self.starts[row + 1];
            let mut entries: Vec<(u32, f64)> = range.map(|at| (ranks[self.features[at] as usize], self.values[at])).collect();
            entries.sort_unstable_by_key(|&(rank, _)| rank);
            ranked.ranks.extend(entries.iter().map(|&(rank, _)| rank));
            ranked.values.extend(entries.iter().map(|&(_, value)| value));
        }
        self.ranked = ranked;
    }

    /// Clusters the rows. A distance is 1 − Σ, summed in f64 in the order of features, as scikit-learn does; a row without values is near no other.
    pub fn cluster(&self, weights: &[f64], settings: Settings, watch: &mut Watch<'_>) -> Result<Clustering, Stopped> {
        let settings = settings.clean();
        let weights = clean_weights(weights, self.rows());
        if settings.eps >= 1.0 {
            // No product is negative, so all are neighbours.
            let core = vec![weights.iter().sum::<f64>() >= settings.min_samples; self.rows()];
            let mut sets = Sets(vec![0; self.rows()]);
            return Ok(sets.clusters(core));
        }
        let mut search = Search::new(self, settings.eps);
        let cells = search.cells(watch)?;
        let core = search.cores(&cells, &weights, settings.min_samples, watch)?;
        let mut sets = search.join(&cells, &core, watch)?;
        let mut clustering = sets.clusters(core);
        search.borders(&mut clustering, watch)?;
        watch.at(1.0)?;
        Ok(clustering)
    }

    /// The core nearest to a row and how far it is; of equally near ones the first. `None` when there is no core. Takes time in proportion to all values.
    pub fn nearest_core(&self, clustering: &Clustering, row: usize) -> Option<(usize, f64)> {
        let mut sought = Sought::new(self.ranked.features);
        sought.set(self, row as u32);
        let mut best: Option<(f64, usize)> = None;
        for other in (0..self.rows()).filter(|&other| clustering.core[other]) {
            let distance = if other == row { 0.0 } else { sought.distance(self, other as u32) };
            if best.is_none_or(|(least, _)| distance < least) {
                best = Some((distance, other));
            }
        }
        best.map(|(distance, other)| (other, distance))
    }

    fn row(&self, row: u32) -> (&[u32], &[f64]) {
        let range = self.starts[row as usize]..self.starts[row as usize + 1];
        (&self.features[range.clone()], &self.values[range])
    }
}

/// A row that others are compared with, spread out over all features.
struct Sought {
    values: Vec<f64>,
    features: Vec<u32>,
}

impl Sought {
    fn new(features: usize) -> Self {
        Self { values: vec![0.0; features], features: Vec::new() }
    }

    fn set(&mut self, of: &Sparse, row: u32) {
        self.features.iter().for_each(|&feature| self.values[feature as usize] = 0.0);
        let (features, values) = of.row(row);
        features.iter().zip(values).for_each(|(&feature, &value)| self.values[feature as usize] = value);
        self.features.clear();
        self.features.extend(features);
    }

    fn product(&self, of: &Sparse, other: u32) -> f64 {
        let (features, values) = of.row(other);
        features.iter().zip(values).map(|(&feature, value)| self.values[feature as usize] * value).sum()
    }

    fn distance(&self, of: &Sparse, other: u32) -> f64 {
        (1.0 - self.product(of, other)).clamp(0.0, 2.0)
    }
}

/// Rows that are all neighbours of each other.
struct Cells {
    /// The first row of the cell of each row.
    leader: Vec<u32>,
}

struct Search<'a> {
    of: &'a Sparse,
    eps: f64,
    /// All rows, for products of 1 − eps.
    postings: Postings,
    scratch: Scratch,
    sought: Sought,
}

impl<'a> Search<'a> {
    fn new(of: &'a Sparse, eps: f64) -> Self {
        let mut postings = Postings::new(&of.ranked, 1.0 - eps);
        (0..of.rows() as u32).for_each(|row| postings.add(&of.ranked, row));
        Self { of, eps, postings, scratch: Scratch::new(of.rows()), sought: Sought::new(of.ranked.features) }
    }

    /// Calls with each other row within eps of `row` that `wanted` wants, until that says false.
    fn neighbours(&mut self, row: u32, mut wanted: impl FnMut(u32) -> bool, mut each: impl FnMut(u32) -> bool) {
        self.sought.set(self.of, row);
        for &other in self.postings.candidates(&self.of.ranked, row, &mut self.scratch) {
            if other != row && wanted(other) && self.sought.distance(self.of, other) <= self.eps && !each(other) {
                return;
            }
        }
    }

    fn cells(&mut self, watch: &mut Watch<'_>) -> Result<Cells, Stopped> {
        // cos(θ/2) = √((1 + cos θ)/2)
        let least = ((2.0 - self.eps) / 2.0).sqrt() + MARGIN;
        let mut leaders = Postings::new(&self.of.ranked, least);
        let mut leader: Vec<u32> = (0..self.of.rows() as u32).collect();
        for row in 0..leader.len() as u32 {
            self.look(watch, row, (0.0, 0.2))?;
            self.sought.set(self.of, row);
            let near = leaders.candidates(&self.of.ranked, row, &mut self.scratch);
            match near.iter().find(|&&other| self.sought.product(self.of, other) >= least) {
                Some(&found) => leader[row as usize] = found,
                None => leaders.add(&self.of.ranked, row),
            }
        }
        Ok(Cells { leader })
    }

    fn cores(&mut self, cells: &Cells, weights: &[f64], min_samples: f64, watch: &mut Watch<'_>) -> Result<Vec<bool>, Stopped> {
        let mut cell_weights = vec![0.0; weights.len()];
        cells.leader.iter().zip(weights).for_each(|(&leader, weight)| cell_weights[leader as usize] += weight);
        let mut core: Vec<bool> = cells.leader.iter().map(|&leader| cell_weights[leader as usize] >= min_samples).collect();
        for row in 0..core.len() as u32 {
            self.look(watch, row, (0.2, 0.5))?;
            if core[row as usize] {
                continue;
            }
            let mut sum = weights[row as usize];
            let add = |other: u32| {
                sum += weights[other as usize];
                sum < min_samples
            };
            self.neighbours(row, |other| weights[other as usize] > 0.0, add);
            core[row as usize] = sum >= min_samples;
        }
        Ok(core)
    }

    fn join(&mut self, cells: &Cells, core: &[bool], watch: &mut Watch<'_>) -> Result<Sets, Stopped> {
        let mut sets = Sets::new(core.len());
        let mut first_core = vec![u32::MAX; core.len()];
        for row in (0..core.len() as u32).filter(|&row| core[row as usize]) {
            let first = &mut first_core[cells.leader[row as usize] as usize];
            if *first == u32::MAX {
                *first = row;
            }
            sets.join(*first, row);
        }
        // One row of each cell joins most of what will be joined.
        let some: Vec<u32> = first_core.into_iter().filter(|&row| row != u32::MAX).collect();
        self.join_from(&some, core, &mut sets, watch, (0.5, 0.6))?;
        let mut sizes = vec![0_u32; core.len()];
        (0..core.len() as u32).filter(|&row| core[row as usize]).for_each(|row| sizes[sets.first(row) as usize] += 1);
        let greatest = (0..core.len() as u32).max_by_key(|&row| (sizes[row as usize], std::cmp::Reverse(row))).unwrap_or(0);
        // Of two sets that are near each other one is not the greatest, so that one need not look.
        let rest: Vec<u32> = (0..core.len() as u32).filter(|&row| core[row as usize] && sets.first(row) != sets.first(greatest)).collect();
        self.join_from(&rest, core, &mut sets, watch, (0.6, 0.9))?;
        Ok(sets)
    }

    fn join_from(&mut self, rows: &[u32], core: &[bool], sets: &mut Sets, watch: &mut Watch<'_>, (from, to): (f64, f64)) -> Result<(), Stopped> {
        let mut found = Vec::new();
        for (n, &row) in rows.iter().enumerate() {
            if n % STRIDE == 0 {
                watch.at(from + (to - from) * n as f64 / rows.len() as f64)?;
            }
            found.clear();
            let first = sets.first(row);
            self.neighbours(
                row,
                |other| core[other as usize] && sets.first(other) != first,
                |other| {
                    found.push(other);
                    true
                },
            );
            found.iter().for_each(|&other| sets.join(row, other));
        }
        Ok(())
    }

    /// Rows that are no cores but near one.
    fn borders(&mut self, clustering: &mut Clustering, watch: &mut Watch<'_>) -> Result<(), Stopped> {
        let Clustering { labels, core, .. } = clustering;
        for row in 0..core.len() as u32 {
            self.look(watch, row, (0.9, 1.0))?;
            if core[row as usize] {
                continue;
            }
            let mut label = NOISE;
            let least = |other: u32| {
                let found = labels[other as usize];
                if label == NOISE || found < label {
                    label = found;
                }
                true
            };
            self.neighbours(row, |other| core[other as usize], least);
            labels[row as usize] = label;
        }
        Ok(())
    }

    fn look(&self, watch: &mut Watch<'_>, row: u32, (from, to): (f64, f64)) -> Result<(), Stopped> {
        if row as usize % STRIDE == 0 { watch.at(from + (to - from) * f64::from(row) / self.of.rows() as f64) } else { Ok(()) }
    }
}
