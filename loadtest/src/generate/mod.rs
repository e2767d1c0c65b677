//! Made Cowrie logs.

pub mod kind;
pub mod learn;
pub mod observed;
pub mod profile;
pub mod random;
pub mod statistics;
