//! Generates Cowrie logs. Tools, credentials, paces and kinds of sessions follow the statistics of real logs.

mod args;
pub(crate) mod attacker;
pub(crate) mod commands;
pub mod compare;
pub mod cowrie;
mod fields;
mod forms;
mod forward;
pub(crate) mod generator;
pub(crate) mod json;
pub mod kind;
pub mod learn;
pub(crate) mod line;
mod message;
pub mod observed;
mod places;
mod plan;
pub mod profile;
pub mod random;
pub(crate) mod script;
pub(crate) mod session;
pub mod statistics;
pub(crate) mod tables;
pub(crate) mod time;
mod write;

pub use args::{Args, run};
pub use generator::{Generator, Made};
pub use line::Sensor;
pub use plan::{Busy, Plan};
pub use write::Log;
