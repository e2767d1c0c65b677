//! The shape of a session: its features in steps so coarse that sessions which did the same have the same
//! shape.

use events::features::{CLIENTS, ELEMENTS, Scaling};
use serde::{Deserialize, Serialize};

/// Length of a shape: the elements that are used, and the families of clients.
pub const WIDTH: usize = ELEMENTS.len() - LEFT_OUT.len() + CLIENTS.len();

/// These follow from the others and from the lengths of texts.
const LEFT_OUT: [&str; 2] = ["events", "bytes"];
/// Prefix of the unit of an element that is a time.
const SECONDS: &str = "s";
/// Step sizes: logarithms of times (a factor of 2.7), logarithms of counts (1.6), shares, bits per byte.
const TIME_STEP: f32 = 1.0;
const COUNT_STEP: f32 = 0.5;
const SHARE_STEP: f32 = 0.25;
const ENTROPY_STEP: f32 = 0.125;
/// Step of the client elements. Sessions with clients of different families differ in two of them, which is as
/// far as a count that is twice as large.
const CLIENT_STEP: f32 = 0.5;

/// One level for each element; level times step size is about the element of the vector.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Shape(Vec<u8>);

/// Indices of the used elements in the vector.
fn places() -> impl Iterator<Item = usize> {
    (0..ELEMENTS.len()).filter(|&place| !LEFT_OUT.contains(&ELEMENTS[place].name))
}

fn step(place: usize) -> f32 {
    let element = &ELEMENTS[place];
    let time = element.unit == SECONDS || element.unit.starts_with("s ") || element.unit.starts_with("s,");
    match element.scaling {
        Scaling::Log if time => TIME_STEP,
        Scaling::Log => COUNT_STEP,
        Scaling::Byte => ENTROPY_STEP,
        Scaling::Squash | Scaling::Plain => SHARE_STEP,
    }
}

pub fn names() -> Vec<String> {
    places()
        .map(|place| ELEMENTS[place].name.to_owned())
        .chain(CLIENTS.iter().map(|client| format!("client_{client}")))
        .collect()
}

impl Shape {
    /// Computes the shape from the features of a session.
    pub fn of(vector: &[f32]) -> Self {
        // `as` saturates: a value that is too large or NaN gives the largest or the smallest level.
        let elements = places().map(|place| (vector[place] / step(place)).round() as u8);
        let clients = vector[ELEMENTS.len()..].iter().take(CLIENTS.len()).map(|&one| u8::from(one > 0.5));
        Self(elements.chain(clients).collect())
    }

    /// Returns [`WIDTH`] numbers whose Euclidean distances measure how different two sessions are.
    pub fn numbers(&self) -> impl Iterator<Item = f32> {
        let steps = places().map(step).chain(std::iter::repeat_n(CLIENT_STEP, CLIENTS.len()));
        self.0.iter().zip(steps).map(|(&level, step)| f32::from(level) * step)
    }

    /// Returns the approximate value of an element before scaling, for people.
    pub fn value(&self, n: usize) -> f64 {
        let elements: Vec<usize> = places().collect();
        let Some(&place) = elements.get(n) else { return f64::from(self.0.get(n).copied().unwrap_or(0)) };
        let x = f64::from(self.0[n]) * f64::from(step(place));
        match ELEMENTS[place].scaling {
            Scaling::Log => x.exp_m1(),
            Scaling::Byte => x * 8.0,
            Scaling::Squash => x / (1.0 - x).max(1e-3),
            Scaling::Plain => x,
        }
    }

    pub fn levels(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use events::features::LENGTH;

    use super::*;

    #[test]
    fn a_shape_is_near_its_vector_whatever_the_vector_holds() {
        let mut vector = vec![0.0; LENGTH];
        vector[0] = 3.2;
        vector[ELEMENTS.len() + 2] = 1.0;
        let shape = Shape::of(&vector);
        assert_eq!(shape.levels().len(), WIDTH);
        assert_eq!(names().len(), WIDTH);
        assert_eq!(shape.numbers().next(), Some(3.0));
        assert!((shape.value(0) - (3.0_f64.exp() - 1.0)).abs() < 1e-9);
        vector.fill(f32::MAX);
        assert!(Shape::of(&vector).numbers().all(f32::is_finite));
    }
}
