//! Figures, sessions and single things for readers. A query here reads panes, sessions, side tables and their
//! indexes; of `events` only the events of one session.

pub mod findings;
pub mod sensors;
pub mod sessions;
pub mod things;
pub mod top;
pub mod totals;

use chrono::{DateTime, Utc};

/// A half-open time range of whole minutes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
}

/// The range and the sensors that a query counts; no sensors: all.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Over {
    pub span: Span,
    pub sensors: Option<Vec<String>>,
}

impl Over {
    /// The dimension and the keys of the panes that hold the totals.
    fn panes(&self) -> (&'static str, Vec<String>) {
        match &self.sensors {
            None => ("all", vec![String::new()]),
            Some(sensors) => ("sensor", sensors.clone()),
        }
    }
}
