//! Which rows have a feature: an index that leaves out what can be left out.
//!
//! For rows of length 1 and a least product t: of each row the most frequent features, as far as they are
//! shorter than t together, are not in the index, for a row that shares nothing else with it has a product
//! below t (Bayardo, Ma & Srikant, "Scaling up all pairs similarity search", 2007, with the bound by length
//! of Anastasiu & Karypis, "L2AP", 2014). For the same reason a search makes no new candidates once what is
//! left of the sought row is shorter than t.

use super::sparse::Unit;

/// How far bounds by f32 may be off.
const SLACK: f64 = 1e-5;

/// Rows with the features by rank, most frequent first: of one row a range of both.
#[derive(Clone, Debug)]
pub struct Ranked {
    pub starts: Vec<usize>,
    pub ranks: Vec<u32>,
    pub values: Vec<f64>,
    /// How many features.
    pub features: usize,
}

impl Ranked {
    /// Renames features by how frequent they are, and turns rows around.
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

    /// How many rows.
    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    pub fn row(&self, row: u32) -> (&[u32], &[f64]) {
        let range = self.starts[row as usize]..self.starts[row as usize + 1];
        (&self.ranks[range.clone()], &self.values[range])
    }

    /// How many of the first features of a row are shorter together than this.
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
    /// Of each feature the rows that have it, with its value there.
    lists: Vec<Vec<(u32, f32)>>,
    /// Of each row the length of what is not in the index.
    left_out: Vec<f32>,
}

/// What a search remembers while it runs.
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
    /// Without any row yet.
    pub fn new(ranked: &Ranked, least: f64) -> Self {
        Self { least, lists: vec![Vec::new(); ranked.features], left_out: vec![0.0; ranked.len()] }
    }

    /// Adds a row.
    pub fn add(&mut self, ranked: &Ranked, row: u32) {
        let (prefix, length) = ranked.prefix(row, self.least);
        self.left_out[row as usize] = length as f32;
        let (ranks, values) = ranked.row(row);
        for (&rank, &value) in ranks[prefix..].iter().zip(&values[prefix..]) {
            // What is nothing in f32 would be found twice, and changes no product.
            if value as f32 > 0.0 {
                self.lists[rank as usize].push((row, value as f32));
            }
        }
    }

    /// Rows of the index whose product with `row` may be as much as `least`, in an order that depends on the
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
