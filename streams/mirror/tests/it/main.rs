//! The mirror and the buckets on a private Redis.

mod buckets;
mod site;
mod statuses;
