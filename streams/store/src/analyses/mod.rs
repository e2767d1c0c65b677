//! What analyses read, and what longtail keeps between runs.

mod credentials;
mod data_set;
pub mod longtail;

pub use credentials::{credential_sources_before, sources_before};
pub use data_set::{DataPlace, DataRange, DataSequence, DataSession, DayDigest, day_digests, sessions};
