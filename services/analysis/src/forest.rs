//! Isolation forest (Liu, Ting & Zhou 2008): a row that a few random cuts isolate is an outlier.

use std::collections::HashSet;

use ndarray::Array2;

use crate::{Stopped, Watch, random::Random};

/// Rows that all trees score before the next batch, so that they stay in the cache.
const BATCH: usize = 512;
/// A tree of more rows would overflow its indices, and detect no better.
const MOST_SAMPLES: usize = 1 << 14;
/// The feature of a leaf.
const LEAF: u32 = u32::MAX;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    pub trees: usize,
    /// Most rows that each tree is built from.
    pub samples: usize,
    /// The same seed gives the same forest.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { trees: 100, samples: 256, seed: 1 }
    }
}

#[derive(Clone, PartialEq, Debug)]
pub struct Forest {
    trees: Vec<Vec<Node>>,
    /// Number of rows that each tree was built from.
    samples: usize,
}

/// An inner node sends values up to `value` to node `left`, others to the node after it. In a leaf, `value`
/// is the length of the path.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Node {
    feature: u32,
    left: u32,
    value: f32,
}

impl Forest {
    /// Trains a forest on rows `[n, d]`. Weights are rounded to counts: a row of weight 3 counts as three
    /// rows. A weight that is missing, negative or not finite counts as 0, and so does a value that is not
    /// finite.
    pub fn train(
        rows: &Array2<f32>,
        weights: &[f64],
        settings: Settings,
        watch: &mut Watch<'_>,
    ) -> Result<Self, Stopped> {
        let mut total = 0_u64;
        // Where the copies of each row end. Each weight is below 2⁴⁰, so that the sum fits for any number of
        // rows that fits into memory.
        let ends: Vec<u64> = (0..rows.nrows())
            .map(|row| {
                total += weights
                    .get(row)
                    .filter(|weight| weight.is_finite())
                    .map_or(0.0, |weight| weight.clamp(0.0, 1e12))
                    .round() as u64;
                total
            })
            .collect();
        let samples = settings.samples.min(MOST_SAMPLES).min(usize::try_from(total).unwrap_or(usize::MAX));
        let mut trees = Vec::with_capacity(if samples == 0 { 0 } else { settings.trees });
        let mut random = Random::new(settings.seed);
        while trees.len() < trees.capacity().min(settings.trees) {
            watch.at(trees.len() as f64 / settings.trees as f64)?;
            let mut picked = pick(samples, total, &mut random);
            picked.iter_mut().for_each(|copy| *copy = ends.partition_point(|&end| end <= *copy) as u64);
            let mut picked: Vec<u32> = picked.into_iter().map(|row| row as u32).collect();
            let mut tree = Tree {
                rows,
                nodes: vec![Node { feature: LEAF, left: 0, value: 0.0 }],
                random: &mut random,
                most_depth: depth_limit(samples),
            };
            tree.grow(0, &mut picked, 0);
            trees.push(tree.nodes);
        }
        watch.at(1.0)?;
        Ok(Self { trees, samples })
    }

    /// Returns how unusual each row is: 2^(−E(h)/c(n)) in (0, 1], about 0.5 for ordinary rows. Without trees,
    /// every score is 0.
    pub fn scores(&self, rows: &Array2<f32>, watch: &mut Watch<'_>) -> Result<Vec<f64>, Stopped> {
        let (count, features) = rows.dim();
        let mut scores = Vec::with_capacity(count);
        let mut batch = Vec::with_capacity(BATCH * features);
        for from in (0..count).step_by(BATCH) {
            watch.at(from as f64 / count as f64)?;
            let to = (from + BATCH).min(count);
            batch.clear();
            batch.extend(
                rows.rows()
                    .into_iter()
                    .skip(from)
                    .take(to - from)
                    .flat_map(|row| row.into_iter().map(|&value| clean(value))),
            );
            let mut depths = vec![0.0_f64; to - from];
            for tree in &self.trees {
                for (row, depth) in depths.iter_mut().enumerate() {
                    *depth += f64::from(path(tree, &batch[row * features..(row + 1) * features]));
                }
            }
            scores.extend(depths.iter().map(|&depth| self.score(depth)));
        }
        watch.at(1.0)?;
        Ok(scores)
    }

    fn score(&self, depths: f64) -> f64 {
        let expected = self.trees.len() as f64 * average_path(self.samples);
        if self.trees.is_empty() {
            0.0
        } else if expected == 0.0 {
            0.5
        } else {
            (-depths / expected).exp2()
        }
    }
}

fn path(tree: &[Node], row: &[f32]) -> f32 {
    let mut node = tree[0];
    while node.feature != LEAF {
        // Rows with fewer columns than the training rows go left.
        let value = row.get(node.feature as usize).copied().unwrap_or(f32::NEG_INFINITY);
        node = tree[node.left as usize + usize::from(value > node.value)];
    }
    node.value
}

fn clean(value: f32) -> f32 {
    if value.is_finite() { value } else { 0.0 }
}

/// Picks `count` distinct numbers below `end`, each choice equally likely (Floyd's algorithm).
fn pick(count: usize, end: u64, random: &mut Random) -> Vec<u64> {
    let mut seen = HashSet::with_capacity(count);
    let mut picked = Vec::with_capacity(count);
    for last in end - count as u64..end {
        let one = random.below(last + 1);
        let one = if seen.insert(one) { one } else { last };
        seen.insert(one);
        picked.push(one);
    }
    picked
}

/// ⌈log₂ n⌉: deeper rows are ordinary.
fn depth_limit(samples: usize) -> usize {
    samples.max(2).next_power_of_two().trailing_zeros() as usize
}

/// The average path length to one of n rows in a binary search tree.
fn average_path(rows: usize) -> f64 {
    const EULER: f64 = 0.577_215_664_901_532_9;
    match rows {
        0 | 1 => 0.0,
        2 => 1.0,
        _ => {
            let n = rows as f64;
            2.0 * ((n - 1.0).ln() + EULER) - 2.0 * (n - 1.0) / n
        }
    }
}

struct Tree<'a> {
    rows: &'a Array2<f32>,
    nodes: Vec<Node>,
    random: &'a mut Random,
    most_depth: usize,
}

impl Tree<'_> {
    fn grow(&mut self, node: usize, picked: &mut [u32], depth: usize) {
        let cut = if depth < self.most_depth && picked.len() > 1 { self.cut(picked) } else { None };
        let Some((feature, value)) = cut else {
            self.nodes[node].value = depth as f32 + average_path(picked.len()) as f32;
            return;
        };
        let left = self.nodes.len();
        self.nodes[node] = Node { feature: feature as u32, left: left as u32, value };
        self.nodes.extend([Node { feature: LEAF, left: 0, value: 0.0 }; 2]);
        picked.sort_unstable_by_key(|&row| (self.value(row, feature) > value, row));
        let middle = picked.partition_point(|&row| self.value(row, feature) <= value);
        let (low, high) = picked.split_at_mut(middle);
        self.grow(left, low, depth + 1);
        self.grow(left + 1, high, depth + 1);
    }

    fn value(&self, row: u32, feature: usize) -> f32 {
        clean(self.rows[[row as usize, feature]])
    }

    /// Returns a random feature whose values are not all equal, and a random value between its least and
    /// greatest.
    fn cut(&mut self, picked: &[u32]) -> Option<(usize, f32)> {
        let mut features: Vec<usize> = (0..self.rows.ncols()).collect();
        while !features.is_empty() {
            let feature = features.swap_remove(self.random.below(features.len() as u64) as usize);
            let values = || picked.iter().map(|&row| self.value(row, feature));
            let (low, high) =
                (values().fold(f32::INFINITY, f32::min), values().fold(f32::NEG_INFINITY, f32::max));
            if low < high {
                let value = f64::from(low) + (f64::from(high) - f64::from(low)) * self.random.unit();
                // Rounding up to the greatest value would leave no row on the right.
                let value = value as f32;
                return Some((feature, if value < high { value.max(low) } else { low }));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(rows: &Array2<f32>, weights: &[f64]) -> Vec<f64> {
        let mut tell = |_: &str, _: f64| true;
        let mut watch = Watch::new(&mut tell);
        Forest::train(rows, weights, Settings::default(), &mut watch)
            .unwrap()
            .scores(rows, &mut watch)
            .unwrap()
    }

    #[test]
    fn an_outlier_scores_highest() {
        let mut rows = Array2::from_shape_fn((300, 4), |(row, column)| ((row * 7 + column * 13) % 31) as f32);
        rows.row_mut(17).fill(500.0);
        let scores = scores(&rows, &[1.0; 300]);
        let highest = (0..300).max_by(|&a, &b| scores[a].total_cmp(&scores[b])).unwrap();
        assert_eq!(highest, 17);
        assert!(
            scores[17] > 0.7 && scores.iter().all(|&score| score > 0.0 && score <= 1.0),
            "{}",
            scores[17]
        );
    }

    #[test]
    fn what_happens_often_is_not_odd() {
        let rows = Array2::from_shape_fn((50, 1), |(row, _)| if row == 9 { 1_000.0 } else { row as f32 });
        let mut weights = vec![1.0; 50];
        let alone = scores(&rows, &weights)[9];
        weights[9] = 400.0;
        assert!(scores(&rows, &weights)[9] < alone - 0.2);
    }

    #[test]
    fn the_same_seed_gives_the_same_scores() {
        let rows = Array2::from_shape_fn((500, 6), |(row, column)| ((row * 31 + column * 17) % 97) as f32);
        assert_eq!(scores(&rows, &[1.0; 500]), scores(&rows, &[1.0; 500]));
    }
}
