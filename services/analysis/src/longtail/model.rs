//! The model of ordinary sessions: which sessions it is trained on, when others must be used, and its errors.

use std::{collections::BTreeMap, ops::Range};

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use super::{
    Parts,
    cached::{opened, sealed},
    part::Part,
    shape::{Shape, WIDTH},
};
use crate::{
    Stopped, Watch,
    autoencoder::{self, Device},
};

const DAY: i64 = 86_400_000_000;
/// The model is trained on the two weeks before the Monday that began the window's last week. So it stays the
/// same for a week while the window moves.
const TRAINING_DAYS: i64 = 14;
/// If these two weeks have fewer sessions, the model is trained on the whole window.
const LEAST_SESSIONS: u64 = 500;
/// 1970-01-01 was a Thursday.
const DAYS_TO_MONDAY: i64 = 3;
/// Population stability index, mean over the elements. From this value on, the window differs too much from
/// the training days, and the model is trained on the whole window (0.25 is what credit scoring calls a major
/// shift: Siddiqi, 2006).
const DRIFT: f64 = 0.25;

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Model {
    id: String,
    pub(super) network: autoencoder::Model,
}

impl Model {
    /// Identifies the training data and parameters: 32 hex digits.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        sealed(self)
    }

    /// Returns `None` when the bytes are damaged or of another version.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        opened(bytes)
    }
}

/// The training data of a model.
pub(super) struct Training {
    shapes: BTreeMap<Shape, u64>,
    /// Stability index of the training days against the window; 0 if there were too few days or sessions to
    /// compute it.
    pub drift: f64,
    pub whole_window: bool,
}

impl Training {
    pub fn of(parts: &Parts<'_>) -> Self {
        let all = shapes(parts.iter().map(|(_, part)| *part));
        let days: Vec<&Part> = training_days(parts);
        let enough = days.len() as i64 == TRAINING_DAYS
            && days.iter().map(|part| part.sessions()).sum::<u64>() >= LEAST_SESSIONS;
        if !enough {
            return Self { shapes: all, drift: 0.0, whole_window: true };
        }
        let shapes = shapes(days.into_iter());
        let drift = stability(&shapes, &all);
        if drift > DRIFT {
            Self { shapes: all, drift, whole_window: true }
        } else {
            Self { shapes, drift, whole_window: false }
        }
    }

    pub fn sessions(&self) -> u64 {
        self.shapes.values().sum()
    }

    /// The id of the model that this training gives.
    pub fn id(&self, seed: u64) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher
            .update(b"cowriestream longtail model")
            .update(&super::VERSION.to_le_bytes())
            .update(&seed.to_le_bytes());
        for (shape, sessions) in &self.shapes {
            hasher.update(shape.levels()).update(&sessions.to_le_bytes());
        }
        hasher.finalize().to_hex()[..32].to_owned()
    }

    pub fn train(&self, seed: u64, device: &Device, watch: &mut Watch<'_>) -> Result<Model, Stopped> {
        let rows = rows(self.shapes.keys());
        let weights: Vec<f64> = self.shapes.values().map(|&sessions| sessions as f64).collect();
        Ok(Model { id: self.id(seed), network: autoencoder::train(&rows, &weights, seed, device, watch)? })
    }
}

pub(super) fn rows<'a>(shapes: impl ExactSizeIterator<Item = &'a Shape>) -> Array2<f32> {
    let mut rows = Array2::zeros((shapes.len(), WIDTH));
    for (mut row, shape) in rows.outer_iter_mut().zip(shapes) {
        row.iter_mut().zip(shape.numbers()).for_each(|(to, from)| *to = from);
    }
    rows
}

fn shapes<'a>(parts: impl Iterator<Item = &'a Part>) -> BTreeMap<Shape, u64> {
    let mut shapes = BTreeMap::new();
    for ((shape, _), form) in parts.flat_map(|part| &part.forms) {
        match shapes.get_mut(shape) {
            Some(sessions) => *sessions += form.sessions,
            None => _ = shapes.insert(shape.clone(), form.sessions),
        }
    }
    shapes
}

fn training_days<'a>(parts: &Parts<'a>) -> Vec<&'a Part> {
    let Some((last, _)) = parts.last() else { return Vec::new() };
    let day = last.end.saturating_sub(1).div_euclid(DAY);
    let monday = day - (day + DAYS_TO_MONDAY).rem_euclid(7);
    let wanted = (monday - TRAINING_DAYS).saturating_mul(DAY)..monday.saturating_mul(DAY);
    let whole =
        |span: &Range<i64>| span.start.rem_euclid(DAY) == 0 && span.end.saturating_sub(span.start) == DAY;
    parts
        .iter()
        .filter(|(span, _)| whole(span) && wanted.contains(&span.start))
        .map(|(_, part)| *part)
        .collect()
}

/// Population stability index, Σ (a − b) ln (a / b) over the levels of an element; mean over the elements.
fn stability(one: &BTreeMap<Shape, u64>, other: &BTreeMap<Shape, u64>) -> f64 {
    let levels = |shapes: &BTreeMap<Shape, u64>| {
        let mut counts = vec![BTreeMap::<u8, f64>::new(); WIDTH];
        for (shape, &sessions) in shapes {
            shape
                .levels()
                .iter()
                .zip(&mut counts)
                .for_each(|(&level, counts)| *counts.entry(level).or_default() += sessions as f64);
        }
        counts
    };
    let (total, other_total) = (one.values().sum::<u64>() as f64, other.values().sum::<u64>() as f64);
    let of_element = |counts: &BTreeMap<u8, f64>, others: &BTreeMap<u8, f64>| -> f64 {
        let share = |counts: &BTreeMap<u8, f64>, level, total: f64| {
            (counts.get(level).copied().unwrap_or(0.0) + 0.5) / (total + 1.0)
        };
        others
            .keys()
            .map(|level| (share(counts, level, total), share(others, level, other_total)))
            .map(|(a, b)| (a - b) * (a / b).ln())
            .sum()
    };
    let (one, other) = (levels(one), levels(other));
    one.iter().zip(&other).map(|(counts, others)| of_element(counts, others)).sum::<f64>() / WIDTH as f64
}
