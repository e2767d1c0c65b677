//! The analyses longtail, snowshoe and botnet: functions from a data set to findings with evidence.
//!
//! **Invariant**: pure. No file, socket, clock or thread; the same data, parameters and seed give the same
//! findings, and text of attackers is only data.

pub mod arrow;
pub mod autoencoder;
pub mod campaign;
pub mod data;
pub mod dbscan;
pub mod finding;
pub mod forest;
pub mod from_events;
pub mod indicator;
pub mod longtail;
mod random;
pub mod statistics;
pub mod tfidf;
pub mod watch;

pub use data::{Data, DataBuilder};
pub use findings::{Detector, Finding, Severity};
pub use watch::{Stopped, Watch};
