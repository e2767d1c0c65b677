//! Every role and command of cowriestream in one binary.
//!
//! **Invariant**: a command speaks to the same parts as a role; nothing works only here.

pub mod analyse;
pub mod backfill;
pub mod cli;
pub mod dead_letters;
pub mod findings;
mod hub;
pub mod jobs;
pub mod load;
pub mod logs;
pub mod native;
pub mod ready;
pub mod rules;
mod since;
pub mod status;
pub mod tail;
pub mod target;
pub mod up;
pub mod verify;
