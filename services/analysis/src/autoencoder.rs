//! An autoencoder: a row that it cannot reconstruct through a narrow middle layer is unlike the training
//! data.
//!
//! It runs on burn, on the CPU, or on a GPU with the features `cuda` or `wgpu` of this crate. On the CPU, the
//! same rows, weights and seed give the same model to the last bit on the same machine; on a GPU, almost the
//! same.

use burn::{
    backend::Autodiff,
    module::{AutodiffModule, Module, Param},
    nn::Linear,
    optim::{AdamConfig, GradientsParams, Optimizer},
    tensor::{Tensor, TensorData, activation::tanh},
};
use ndarray::Array2;
use serde::{Deserialize, Serialize};

use crate::{Stopped, Watch, random::Random};

#[cfg(feature = "cuda")]
type Backend = burn::backend::Cuda<f32>;
#[cfg(all(feature = "wgpu", not(feature = "cuda")))]
type Backend = burn::backend::Wgpu<f32>;
#[cfg(not(any(feature = "cuda", feature = "wgpu")))]
type Backend = burn::backend::NdArray<f32>;

/// Widths of the hidden layers.
const HIDDEN: [usize; 3] = [16, 4, 16];
/// Rows in one training step.
const BATCH: usize = 256;
/// Training steps, independent of the number of rows.
const STEPS: usize = 600;
/// Steps between two checks for cancellation: a few milliseconds.
const STRIDE: usize = 4;
/// Learning rate of the first step; it falls to 0 along a cosine.
const RATE: f64 = 1e-2;
/// Rows scored in one pass.
const SCORED: usize = 2_048;
/// Smallest standard deviation of a feature. Dividing by a smaller one would turn noise into findings.
const LEAST_DEVIATION: f64 = 1e-2;
/// Largest distance of a feature from its mean, in standard deviations; larger ones are clamped. Otherwise
/// one extreme value would dominate the training.
const MOST_DEVIATIONS: f32 = 10.0;

/// The driver of the GPU that this program was built for is missing or broken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NoDevice(String);

impl std::fmt::Display for NoDevice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "no device to compute on: {}", self.0)
    }
}

impl std::error::Error for NoDevice {}

/// A device to compute on.
#[derive(Clone, Debug)]
pub struct Device(burn::tensor::Device<Backend>);

impl Device {
    /// Opens the device and tests it. The libraries below panic when a driver is missing; the panic is caught
    /// here and returned as an error, so every existing `Device` works.
    pub fn open() -> Result<Self, NoDevice> {
        let trial = || {
            let device = burn::tensor::Device::<Backend>::default();
            let sum = Tensor::<Backend, 1>::from_data(TensorData::new(vec![1.0_f32, 2.0], [2]), &device)
                .sum()
                .into_data()
                .to_vec::<f32>();
            (device, sum.unwrap_or_default())
        };
        match std::panic::catch_unwind(trial) {
            Ok((device, sum)) if sum == [3.0] => Ok(Self(device)),
            Ok(_) => Err(NoDevice("it cannot compute a sum".to_owned())),
            Err(panic) => {
                let said = panic
                    .downcast_ref::<String>()
                    .cloned()
                    .or_else(|| panic.downcast_ref::<&str>().map(|&said| said.to_owned()));
                Err(NoDevice(said.unwrap_or_else(|| "it panicked".to_owned())))
            }
        }
    }
}

#[derive(Module, Debug)]
struct Network<B: burn::tensor::backend::Backend> {
    layers: Vec<Linear<B>>,
}

impl<B: burn::tensor::backend::Backend> Network<B> {
    fn new(layers: &[Layer], device: &B::Device) -> Self {
        let linear = |layer: &Layer| Linear {
            weight: Param::from_data(
                TensorData::new(layer.weights.clone(), [layer.inputs(), layer.bias.len()]),
                device,
            ),
            bias: Some(Param::from_data(TensorData::new(layer.bias.clone(), [layer.bias.len()]), device)),
        };
        Self { layers: layers.iter().map(linear).collect() }
    }

    fn forward(&self, rows: Tensor<B, 2>) -> Tensor<B, 2> {
        let last = self.layers.len().saturating_sub(1);
        self.layers.iter().enumerate().fold(rows, |rows, (n, layer)| {
            let rows = layer.forward(rows);
            if n < last { tanh(rows) } else { rows }
        })
    }

    fn layers(&self) -> Vec<Layer> {
        let numbers = |data: TensorData| data.to_vec::<f32>().unwrap_or_default();
        self.layers
            .iter()
            .map(|layer| Layer {
                weights: numbers(layer.weight.val().into_data()),
                bias: layer.bias.as_ref().map(|bias| numbers(bias.val().into_data())).unwrap_or_default(),
            })
            .collect()
    }
}

/// A layer. `weights` is `[inputs, outputs]`, one input after the other; the bias is added to each output.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Layer {
    weights: Vec<f32>,
    bias: Vec<f32>,
}

impl Layer {
    fn inputs(&self) -> usize {
        self.weights.len().checked_div(self.bias.len()).unwrap_or(0)
    }

    /// Uniform, by Glorot & Bengio (2010).
    fn random(inputs: usize, outputs: usize, random: &mut Random) -> Self {
        let most = (6.0 / (inputs + outputs) as f64).sqrt();
        Self {
            weights: (0..inputs * outputs).map(|_| ((2.0 * random.unit() - 1.0) * most) as f32).collect(),
            bias: vec![0.0; outputs],
        }
    }
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub struct Model {
    means: Vec<f32>,
    deviations: Vec<f32>,
    layers: Vec<Layer>,
}

/// A model as read from bytes, which may be damaged.
#[derive(Deserialize)]
struct Stored {
    means: Vec<f32>,
    deviations: Vec<f32>,
    layers: Vec<Layer>,
}

impl TryFrom<Stored> for Model {
    type Error = &'static str;

    fn try_from(Stored { means, deviations, layers }: Stored) -> Result<Self, Self::Error> {
        let width = means.len();
        let fits = |inputs: usize, layer: &Layer| {
            (layer.weights.len() == inputs * layer.bias.len()).then_some(layer.bias.len())
        };
        let end = layers.iter().try_fold(width, fits);
        let positive = deviations.iter().all(|&deviation| deviation > 0.0);
        if width > 0
            && deviations.len() == width
            && end == Some(width)
            && positive
            && !layers.iter().any(|layer| layer.bias.is_empty())
        {
            Ok(Self { means, deviations, layers })
        } else {
            Err("the layers of the model do not fit together")
        }
    }
}

/// Trains on rows `[n, d]`; each row is drawn in proportion to its weight. Values that are not finite count
/// as 0, and so do weights that are missing, negative or not finite. Without rows or columns, the model
/// returns an error of 0 for every row.
pub fn train(
    rows: &Array2<f32>,
    weights: &[f64],
    seed: u64,
    device: &Device,
    watch: &mut Watch<'_>,
) -> Result<Model, Stopped> {
    let columns = rows.ncols();
    let draw = Draw::new(weights, rows.nrows());
    let mut model = Model::standard(rows, &draw);
    if columns == 0 || draw.total() <= 0.0 {
        return Ok(model);
    }
    let mut random = Random::new(seed);
    let widths: Vec<usize> = std::iter::once(columns).chain(HIDDEN).chain([columns]).collect();
    model.layers = widths.windows(2).map(|pair| Layer::random(pair[0], pair[1], &mut random)).collect();
    let mut network = Network::<Autodiff<Backend>>::new(&model.layers, &device.0);
    let mut adam = AdamConfig::new().with_epsilon(1e-8).init();
    for step in 0..STEPS {
        let done = step as f64 / STEPS as f64;
        if step.is_multiple_of(STRIDE) {
            watch.at(done)?;
        }
        let mut batch = Vec::with_capacity(BATCH * columns);
        (0..BATCH).for_each(|_| model.standardise(rows.row(draw.row(&mut random)), &mut batch));
        let batch = Tensor::from_data(TensorData::new(batch, [BATCH, columns]), &device.0);
        let error = network.forward(batch.clone()) - batch;
        let gradients = GradientsParams::from_grads((error.clone() * error).mean().backward(), &network);
        network = adam.step(RATE * 0.5 * (1.0 + (std::f64::consts::PI * done).cos()), network, gradients);
    }
    model.layers = network.valid().layers();
    watch.at(1.0)?;
    Ok(model)
}

/// Draws rows in proportion to their weights.
struct Draw(Vec<f64>);

impl Draw {
    fn new(weights: &[f64], rows: usize) -> Self {
        let mut total = 0.0;
        let weight = |row: usize| {
            weights.get(row).copied().filter(|weight| weight.is_finite()).unwrap_or(0.0).max(0.0)
        };
        Self(
            (0..rows)
                .map(|row| {
                    total += weight(row);
                    total
                })
                .collect(),
        )
    }

    fn total(&self) -> f64 {
        self.0.last().copied().unwrap_or(0.0)
    }

    fn weight(&self, row: usize) -> f64 {
        self.0[row] - if row == 0 { 0.0 } else { self.0[row - 1] }
    }

    fn row(&self, random: &mut Random) -> usize {
        let at = random.unit() * self.total();
        self.0.partition_point(|&end| end <= at).min(self.0.len() - 1)
    }
}

fn clean(value: f32) -> f32 {
    if value.is_finite() { value } else { 0.0 }
}

impl Model {
    /// Returns an untrained model that holds only means and standard deviations.
    fn standard(rows: &Array2<f32>, draw: &Draw) -> Self {
        let total = draw.total().max(f64::MIN_POSITIVE);
        let mean_of = |column: usize, value: &dyn Fn(f64) -> f64| {
            let values = rows.column(column);
            values
                .iter()
                .enumerate()
                .map(|(row, &one)| draw.weight(row) * value(f64::from(clean(one))))
                .sum::<f64>()
                / total
        };
        let mut model = Self { means: Vec::new(), deviations: Vec::new(), layers: Vec::new() };
        for column in 0..rows.ncols() {
            let mean = mean_of(column, &|value| value);
            let deviation =
                mean_of(column, &|value| (value - mean) * (value - mean)).sqrt().max(LEAST_DEVIATION);
            model.means.push(mean as f32);
            model.deviations.push((deviation as f32).min(f32::MAX));
        }
        model
    }

    fn standardise(&self, row: ndarray::ArrayView1<'_, f32>, into: &mut Vec<f32>) {
        let values = row.iter().map(|&value| clean(value)).chain(std::iter::repeat(0.0));
        let all = values.zip(&self.means).zip(&self.deviations);
        into.extend(all.map(|((value, mean), deviation)| {
            ((value - mean) / deviation).clamp(-MOST_DEVIATIONS, MOST_DEVIATIONS)
        }));
    }

    /// Returns the reconstruction error of each row `[n, d]`, in squared standard deviations: the mean over
    /// all features, and one for each feature.
    pub fn errors(
        &self,
        rows: &Array2<f32>,
        device: &Device,
        watch: &mut Watch<'_>,
    ) -> Result<(Vec<f32>, Array2<f32>), Stopped> {
        let (count, columns) = (rows.nrows(), self.means.len());
        let mut errors = Array2::zeros((count, columns));
        if columns == 0 || self.layers.is_empty() {
            return Ok((vec![0.0; count], errors));
        }
        let network = Network::<Backend>::new(&self.layers, &device.0);
        for from in (0..count).step_by(SCORED) {
            watch.at(from as f64 / count as f64)?;
            let to = (from + SCORED).min(count);
            let mut batch = Vec::with_capacity((to - from) * columns);
            (from..to).for_each(|row| self.standardise(rows.row(row), &mut batch));
            let batch =
                Tensor::<Backend, 2>::from_data(TensorData::new(batch, [to - from, columns]), &device.0);
            let error = network.forward(batch.clone()) - batch;
            let squares = (error.clone() * error).into_data().to_vec::<f32>().unwrap_or_default();
            errors.iter_mut().skip(from * columns).zip(squares).for_each(|(error, square)| *error = square);
        }
        watch.at(1.0)?;
        Ok((errors.rows().into_iter().map(|row| row.sum() / columns as f32).collect(), errors))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns rows with two correlated features and one of noise.
    fn rows() -> Array2<f32> {
        Array2::from_shape_fn((600, 3), |(row, column)| match column {
            0 => (row % 20) as f32,
            1 => (row % 20) as f32 * 2.0,
            _ => (row * 7 % 13) as f32 / 13.0,
        })
    }

    fn trained(rows: &Array2<f32>, weights: &[f64], seed: u64) -> Model {
        let mut tell = |_: &str, _: f64| true;
        train(rows, weights, seed, &Device::open().unwrap(), &mut Watch::new(&mut tell)).unwrap()
    }

    fn errors(model: &Model, rows: &Array2<f32>) -> (Vec<f32>, Array2<f32>) {
        let mut tell = |_: &str, _: f64| true;
        model.errors(rows, &Device::open().unwrap(), &mut Watch::new(&mut tell)).unwrap()
    }

    #[test]
    fn what_breaks_a_pattern_is_not_given_back() {
        let model = trained(&rows(), &[1.0; 600], 1);
        let (totals, _) = errors(&model, &rows());
        let usual = totals.iter().sum::<f32>() / 600.0;
        let (totals, each) = errors(&model, &ndarray::array![[2.0, 36.0, 0.5]]);
        assert!(totals[0] > 20.0 * usual, "{} of {usual}", totals[0]);
        assert!(each[[0, 2]] < each[[0, 0]].max(each[[0, 1]]), "{each}");
    }

    #[test]
    fn the_same_seed_gives_the_same_model_to_the_bit_and_another_another() {
        let model = trained(&rows(), &[1.0; 600], 7);
        assert_eq!(trained(&rows(), &[1.0; 600], 7), model);
        assert_ne!(trained(&rows(), &[1.0; 600], 8), model);
        let stored = serde_json::to_string(&model).unwrap();
        assert_eq!(serde_json::from_str::<Model>(&stored).unwrap(), model);
    }

    #[test]
    fn a_damaged_model_is_refused() {
        let mut model = trained(&rows(), &[1.0; 600], 7);
        model.layers[1].weights.pop();
        let stored = serde_json::to_string(&model).unwrap();
        assert!(serde_json::from_str::<Model>(&stored).unwrap_err().to_string().contains("do not fit"));
    }

    #[test]
    fn numbers_that_are_none_and_absurd_ones_leave_finite_errors() {
        let strange = [f32::NAN, f32::INFINITY, f32::MAX, f32::MIN, 0.0];
        let rows = Array2::from_shape_fn((50, 5), |(row, column)| strange[(row * 3 + column) % 5]);
        let (totals, _) = errors(&trained(&rows, &[1.0; 50], 1), &rows);
        assert!(totals.iter().all(|total| total.is_finite()), "{totals:?}");
    }

    #[test]
    fn of_nothing_it_learns_nothing() {
        assert!(
            errors(&trained(&Array2::zeros((0, 3)), &[], 1), &rows()).0.iter().all(|&total| total == 0.0)
        );
        assert!(
            errors(&trained(&Array2::zeros((4, 0)), &[1.0; 4], 1), &rows())
                .0
                .iter()
                .all(|&total| total == 0.0)
        );
        assert!(errors(&trained(&rows(), &[0.0; 600], 1), &rows()).0.iter().all(|&total| total == 0.0));
        assert!(errors(&trained(&Array2::ones((1, 3)), &[1.0], 1), &Array2::ones((1, 2))).0[0].is_finite());
    }

    #[test]
    fn training_stops_when_cancelled() {
        let mut asked = 0;
        let mut tell = |_: &str, _: f64| {
            asked += 1;
            asked < 5
        };
        assert_eq!(
            train(&rows(), &[1.0; 600], 1, &Device::open().unwrap(), &mut Watch::new(&mut tell)),
            Err(Stopped)
        );
    }
}
