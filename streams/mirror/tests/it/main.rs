//! The mirror and the buckets on a private Redis.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

mod buckets;
mod site;
mod statuses;
