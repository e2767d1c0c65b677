//! A load generator and benchmark: generates Cowrie logs, and measures each part beside its bare limit.

pub mod bench;
pub mod generate;
pub mod plant;
pub mod score;
pub mod soak;
pub mod speed;
