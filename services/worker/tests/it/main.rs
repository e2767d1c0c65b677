//! The worker alone, against private Postgres and NATS servers.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod site;
mod steps;
mod work;
