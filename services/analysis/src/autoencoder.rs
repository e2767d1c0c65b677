//! To come.
use ndarray::Array2;
use serde::{Deserialize, Serialize};
use crate::{Stopped, Watch};
/// stub
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Model { mean: Vec<f32>, std: Vec<f32> }
/// stub
pub fn train(rows: &Array2<f32>, weights: &[f64], _seed: u64, _watch: &mut Watch<'_>) -> Result<Model, Stopped> {
    let w: f32 = weights.iter().map(|w| *w as f32).sum::<f32>().max(1.0);
    let mut mean = vec![0.0; rows.ncols()]; let mut std = vec![0.0; rows.ncols()];
    for (r, &k) in rows.outer_iter().zip(weights) { for (m, v) in mean.iter_mut().zip(r) { *m += v * k as f32 / w; } }
    for (r, &k) in rows.outer_iter().zip(weights) { for ((s, m), v) in std.iter_mut().zip(&mean).zip(r) { *s += (v - m) * (v - m) * k as f32 / w; } }
    Ok(Model { mean, std: std.iter().map(|s: &f32| s.sqrt().max(0.1)).collect() })
}
impl Model {
    /// stub
    pub fn errors(&self, rows: &Array2<f32>) -> (Vec<f32>, Array2<f32>) {
        let mut e = rows.clone();
        for mut r in e.outer_iter_mut() { for ((v, m), s) in r.iter_mut().zip(&self.mean).zip(&self.std) { *v = ((*v - m) / s).powi(2); } }
        (e.outer_iter().map(|r| r.sum() / self.mean.len() as f32).collect(), e)
    }
}
