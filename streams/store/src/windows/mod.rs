//! Sliding windows: panes, their roll-up, their recount from events, and queries over them.

pub mod panes;
mod query;
pub mod recount;
pub mod rollup;

pub use query::{Measure, Window, features, series, top};
