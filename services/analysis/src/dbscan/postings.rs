//! An inverted index from features to rows, which leaves out what the search does not need.
//!
//! Let rows have length 1, and let t be the least product. The most frequent features of each row are left
//! out of the index, as long as they are together shorter than t: a row that shares nothing else with it has
//! a product below t (Bayardo, Ma & Srikant, "Scaling up all pairs similarity search", 2007, with the bound
//! by length of Anastasiu & Karypis, "L2AP", 2014). For the same reason, a search adds no new candidates once
//! the rest of its row is shorter than t.

use super::sparse::Unit;

/// Error bound of the lengths in f32.
const SLACK: f64 = 1e-5;

/// Rows with their features by rank, most frequent first; each row is a range of both lists.
#[derive(Clone, Debug)]
pub struct Ranked {
    pub starts: Vec<usize>,
    pub ranks: Vec<u32>,
    pub values: Vec<f64>,
    pub features: usize,
}

impl Ranked {
    /// Renumbers features by frequency and reorders the rows' features accordingly.
    pub fn new(rows: &Unit) -> Self {
        let features = rows.features();
        let mut frequency = vec![0_u32; features];
        (0..rows.len())
            .for_each(|row| rows.row(row).0.iter().for_each(|&feature| frequency[feature as usize] += 1));
        let mut order: Vec<u32> = (0..features as u32).collect();
        order.sort_by_key(|&feature| std::cmp::Reverse(frequency[feature as usize]));
        let mut ranks = vec![0; features];
        (0..).zip(&order).for_each(|(rank, &feature)| ranks[feature as usize] = rank);
        let mut ranked = Self { starts: vec![0], ranks: Vec::new(), values: Vec::new(), features };
        for row in 0..rows.len() {
            let (features, values) = rows.row(row);
            let mut entries: Vec<(u32, f64)> = features
                .iter()
                .zip(values)
                .map(|(&feature, &value)| (ranks[feature as usize], value))
                .collect();
            entries.sort_unstable_by_key(|&(rank, _)| rank);
            ranked.ranks.extend(entries.iter().map(|&(rank, _)| rank));
            ranked.values.extend(entries.iter().map(|&(_, value)| value));
            ranked.starts.push(ranked.ranks.len());
        }
        ranked
    }

    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    pub fn row(&self, row: u32) -> (&[u32], &[f64]) {
        let range = self.starts[row as usize]..self.starts[row as usize + 1];
        (&self.ranks[range.clone()], &self.values[range])
    }

    /// Returns how many leading features of a row are together shorter than `least`, and their length.
    fn prefix(&self, row: u32, least: f64) -> (usize, f64) {
        let mut squares = 0.0;
        let values = self.row(row).1;
        for (n, value) in values.iter().enumerate() {
            let next: f64 = squares + value * value;
            if next.sqrt() >= least - SLACK {
                return (n, squares.sqrt());
            }
            squares = next;
        }
        (values.len(), squares.sqrt())
    }
}

/// An index for products of at least `least`.
#[derive(Clone, Debug)]
pub struct Postings {
    least: f64,
    /// For each feature, the rows that have it, with its value there.
    lists: Vec<Vec<(u32, f32)>>,
    /// For each row, the length of the features that are not in the index.
    left_out: Vec<f32>,
}

/// Buffers that a search reuses.
#[derive(Clone, Debug)]
pub struct Scratch {
    sums: Vec<f32>,
    touched: Vec<u32>,
}

impl Scratch {
    pub fn new(rows: usize) -> Self {
        Self { sums: vec![0.0; rows], touched: Vec::new() }
    }
}

impl Postings {
    pub fn new(ranked: &Ranked, least: f64) -> Self {
        Self { least, lists: vec![Vec::new(); ranked.features], left_out: vec![0.0; ranked.len()] }
    }

    pub fn add(&mut self, ranked: &Ranked, row: u32) {
        let (prefix, length) = ranked.prefix(row, self.least);
        self.left_out[row as usize] = length as f32;
        let (ranks, values) = ranked.row(row);
        for (&rank, &value) in ranks[prefix..].iter().zip(&values[prefix..]) {
            // A value that is 0 in f32 would be found twice, and changes no product.
            if value as f32 > 0.0 {
                self.lists[rank as usize].push((row, value as f32));
            }
        }
    }

    /// Returns the rows of the index whose product with `row` may reach `least`. Their order depends on the
    /// index alone.
    pub fn candidates<'a>(&self, ranked: &Ranked, row: u32, scratch: &'a mut Scratch) -> &'a [u32] {
        let Scratch { sums, touched } = scratch;
        touched.clear();
        let (ranks, values) = ranked.row(row);
        let (prefix, _) = ranked.prefix(row, self.least);
        for (n, (&rank, &value)) in ranks.iter().zip(values).enumerate().rev() {
            let value = value as f32;
            for &(other, weight) in &self.lists[rank as usize] {
                let sum = &mut sums[other as usize];
                let product = value * weight;
                if *sum > 0.0 {
                    *sum += product;
                } else if n >= prefix && product > 0.0 {
                    *sum = product;
                    touched.push(other);
                }
            }
        }
        let least = (self.least - SLACK) as f32;
        touched.retain(|&other| {
            let sum = std::mem::take(&mut sums[other as usize]);
            sum + self.left_out[other as usize] >= least
        });
        touched
    }
}
