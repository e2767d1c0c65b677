//! A load and a yardstick: made Cowrie logs, and the parts measured beside their bare limits.

pub mod bench;
pub mod generate;
pub mod plant;
pub mod score;
pub mod soak;
pub mod speed;
