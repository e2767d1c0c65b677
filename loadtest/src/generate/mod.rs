//! Made Cowrie logs: attackers whose tools, credentials, paces and kinds of sessions are learnt from real logs' statistics.

mod args;
mod attacker;
mod commands;
pub mod compare;
pub mod cowrie;
mod fields;
mod forms;
mod forward;
mod generator;
mod json;
pub mod kind;
pub mod learn;
mod line;
mod message;
pub mod observed;
mod places;
mod plan;
pub mod profile;
pub mod random;
mod script;
mod session;
pub mod statistics;
mod tables;
mod time;
mod write;

pub use args::{Args, run};
pub use generator::{Generator, Made};
pub use line::Sensor;
pub use plan::Plan;
pub use write::Log;
