//! Planted campaigns and anomalies with the truth about them, among the attackers of a made log.
//!
//! **Invariant**: the same plan, span and wish give the same log and the same truth; what is planted changes
//! no line of the background. Seeds below [`SCORING`] are for tuning detectors, those from it on only for
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

/// The first seed that no detector may be tuned with.
pub const SCORING: u64 = 10_000;
