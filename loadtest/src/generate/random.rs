//! Random numbers that are equal on every platform: ChaCha8, and only arithmetic that IEEE 754 defines to the
//! bit.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub struct Random(ChaCha8Rng);

impl Random {
    /// One of the independent streams of a seed.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(stream);
        Self(random)
    }

    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// From 0 to below 1.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// From `low` to below `high`.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + self.unit() * (high - low)
    }

    /// From 0 to below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.bits()) * n as u128) >> 64) as usize
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// A whole number with this mean: one of its two neighbours.
    pub fn rounded(&mut self, mean: f64) -> usize {
        let whole = mean.max(0.0).floor();
        whole as usize + usize::from(self.chance(mean - whole))
    }

    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// Exponentially distributed with this mean.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * ln(1.0 - self.unit())
    }

    /// Log-normally distributed with this median. With `spread` 1, two thirds lie within a factor of 2.7.
    pub fn lognormal(&mut self, median: f64, spread: f64) -> f64 {
        let normal = (0..12).map(|_| self.unit()).sum::<f64>() - 6.0;
        median * exp(normal * spread)
    }
}

/// A table of weights, with draws in logarithmic time.
#[derive(Debug)]
pub struct Weights(Vec<f64>);

impl Weights {
    pub fn new(weights: impl IntoIterator<Item = f64>) -> Self {
        let mut sum = 0.0;
        let add = |weight: f64| {
            sum += weight;
            sum
        };
        Self(weights.into_iter().map(add).collect())
    }

    pub fn draw(&self, random: &mut Random) -> usize {
        self.at(random.unit())
    }

    /// The index at a position from 0 to below 1.
    pub fn at(&self, place: f64) -> usize {
        let at = place * self.0.last().copied().unwrap_or(0.0);
        self.0.partition_point(|&sum| sum <= at).min(self.0.len().saturating_sub(1))
    }
}

/// The natural logarithm; the platform's may differ in the last bit.
pub(crate) fn ln(x: f64) -> f64 {
    let exponent = ((x.to_bits() >> 52) & 0x7ff) as i64 - 1023;
    let mantissa = f64::from_bits(x.to_bits() & 0x000f_ffff_ffff_ffff | 0x3ff0_0000_0000_0000);
    let z = (mantissa - 1.0) / (mantissa + 1.0);
    let series = (0..12).rev().fold(0.0, |sum, i| sum * z * z + 1.0 / f64::from(2 * i + 1));
    exponent as f64 * std::f64::consts::LN_2 + 2.0 * z * series
}

/// The exponential function; the platform's may differ in the last bit.
fn exp(x: f64) -> f64 {
    let halves = (x / std::f64::consts::LN_2).round();
    let rest = x - halves * std::f64::consts::LN_2;
    let series = (1..14).rev().fold(1.0, |sum, i| 1.0 + sum * rest / f64::from(i));
    series * f64::from_bits(((halves.clamp(-1000.0, 1000.0) as i64 + 1023) as u64) << 52)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithm_and_exponential_are_those() {
        for x in [1e-9, 0.1, 0.5, 1.0, 1.5, 2.0, 12345.6] {
            assert!((ln(x) - f64::ln(x)).abs() < 1e-9, "{x}");
            assert!((exp(ln(x)) / x - 1.0).abs() < 1e-9, "{x}");
        }
    }

    #[test]
    fn a_draw_has_the_mean_that_was_asked_for() {
        let mut random = Random::new(1, 2);
        let mean = |mut draw: Box<dyn FnMut() -> f64>| (0..100_000).map(|_| draw()).sum::<f64>() / 1e5;
        let mut other = random.clone();
        assert!((mean(Box::new(move || random.exponential(3.0))) - 3.0).abs() < 0.05);
        assert!((mean(Box::new(move || other.rounded(2.3) as f64)) - 2.3).abs() < 0.02);
    }
}
