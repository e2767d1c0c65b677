//! The processor alone, against private Postgres and NATS servers. A test publishes what a loader would.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod commit;
mod outage;
mod site;
mod stop;
