//! Plants campaigns and anomalies among the attackers of a generated log, and records the truth about them.
//!
//! **Invariant**: the same plan, span and numbers give the same log and the same truth; planting changes no
//! line of the background. Seeds below [`SCORING`] are for tuning detectors, seeds from it on only for
//! scoring them.

mod botnet;
mod busy;
mod campaign;
mod credentials;
mod decoys;
mod emerging;
mod fill;
mod ground;
mod intruders;
mod list;
mod log;
mod odd;
mod payloads;
mod recipe;
mod snowshoe;
mod templates;
mod truth;
mod wanted;

pub use log::{Planted, counts};
pub use recipe::{Recipe, Scene};
pub use truth::{Anomaly, Campaign, Decoys, Truth};
pub use wanted::{Plant, Wanted};

/// The first seed that must not be used for tuning.
pub const SCORING: u64 = 10_000;
