//! Projects sparse rows with many features to points with few dimensions. Two points are never further apart
//! than their rows, and mostly not much nearer.
//!
//! The first coordinates are the principal components of the rows, by orthogonal iteration; the last is the
//! length of the remainder. As the components are orthonormal, the squared distance of two rows is that of
//! their coordinates plus that of their remainders, and the latter is at least the squared difference of
//! their lengths.

use super::sparse::Unit;

const COMPONENTS: usize = 63;
/// Skip the projection above this many features: principal components no longer help, use the inverted index.
pub const MOST_FEATURES: usize = 512;
/// Most rows that the components are computed from.
const MOST_ROWS: usize = 4_096;
/// Any orthonormal vectors are correct, so a few rounds are enough.
const ROUNDS: usize = 6;

/// Returns a point for each row, and the number of coordinates.
pub fn project(rows: &Unit) -> (Vec<f32>, usize) {
    let size = rows.features();
    let components = if size > MOST_FEATURES { 0 } else { COMPONENTS.min(size) };
    let basis =
        if components > 0 { orthonormal(&covariance(rows, size), size, components) } else { Vec::new() };
    let mut points = Vec::with_capacity(rows.len() * (components + 1));
    let mut point = vec![0.0; components];
    for row in 0..rows.len() {
        let (features, values) = rows.row(row);
        point.fill(0.0);
        let mut rest: f64 = values.iter().map(|value| value * value).sum();
        for (&feature, value) in features.iter().zip(values) {
            let weights = basis
                .get(feature as usize * components..(feature as usize + 1) * components)
                .unwrap_or_default();
            point.iter_mut().zip(weights).for_each(|(coordinate, weight)| *coordinate += weight * value);
        }
        rest -= point.iter().map(|coordinate| coordinate * coordinate).sum::<f64>();
        points.extend(point.iter().map(|&coordinate| coordinate as f32));
        points.push(rest.max(0.0).sqrt() as f32);
    }
    (points, components + 1)
}

/// The covariance of all features, `[size, size]`.
fn covariance(rows: &Unit, size: usize) -> Vec<f64> {
    let mut means = vec![0.0; size];
    let mut products = vec![0.0; size * size];
    let step = rows.len().div_ceil(MOST_ROWS).max(1);
    let count = rows.len().div_ceil(step).max(1) as f64;
    for row in (0..rows.len()).step_by(step) {
        let (features, values) = rows.row(row);
        for (&a, value) in features.iter().zip(values) {
            means[a as usize] += value / count;
            let line = &mut products[a as usize * size..(a as usize + 1) * size];
            features.iter().zip(values).for_each(|(&b, other)| line[b as usize] += value * other / count);
        }
    }
    for (place, product) in products.iter_mut().enumerate() {
        *product -= means[place / size] * means[place % size];
    }
    products
}

/// Returns approximate leading eigenvectors of a symmetric matrix, `[size, count]`. They are always
/// orthonormal.
fn orthonormal(matrix: &[f64], size: usize, count: usize) -> Vec<f64> {
    // Stored by column here, so that each vector is contiguous.
    let mut vectors: Vec<Vec<f64>> =
        (0..count).map(|n| (0..size).map(|place| if place == n { 1.0 } else { 0.0 }).collect()).collect();
    for _ in 0..ROUNDS {
        for vector in &mut vectors {
            *vector =
                matrix.chunks_exact(size).zip(vector.iter()).map(|(line, _)| dot(line, vector)).collect();
        }
        for n in 0..count {
            let (before, rest) = vectors.split_at_mut(n);
            make_orthonormal(&mut rest[0], before, n);
        }
    }
    (0..size).flat_map(|place| vectors.iter().map(move |vector| vector[place])).collect()
}

/// Removes from a vector its components along the earlier ones, and scales it to length 1. If nothing is
/// left, an axis takes its place.
fn make_orthonormal(vector: &mut [f64], before: &[Vec<f64>], n: usize) {
    let size = vector.len();
    for axis in (n..n + size).map(|axis| axis % size) {
        let length = dot(vector, vector).sqrt();
        // Two passes are enough for any vector that does not vanish.
        for _ in 0..2 {
            for other in before {
                let part = dot(vector, other);
                vector.iter_mut().zip(other).for_each(|(value, other)| *value -= part * other);
            }
        }
        let left = dot(vector, vector).sqrt();
        if left > 1e-6 * length && left > 1e-150 {
            vector.iter_mut().for_each(|value| *value /= left);
            return;
        }
        vector.fill(0.0);
        vector[axis] = 1.0;
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
