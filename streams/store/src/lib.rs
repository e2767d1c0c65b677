//! Postgres: migrations, and a namespace per part (`store::jobs::claim`). The only crate that uses sqlx.
//!
//! **Invariant**: events are inserted and never changed. Everything else is derived, and updated only from
//! the rows that an insert returned as new, in the same transaction. A transaction locks rows in one order:
//! events, sessions, command sequences, features, dead letters, findings, outbox, sensors, deliveries, loader
//! files; within a table by key. Panes are only inserted, which needs no row locks.

pub mod analyses;
mod connect;
mod failure;
pub mod features;
pub mod findings;
pub mod ingest;
pub mod jobs;
pub mod keys;
mod leases;
pub mod statistics;
pub mod status;
pub mod verify;
pub mod windows;

pub use connect::{Membership, Store, StoreArgs, unhurried};
pub use failure::Failure;
pub use leases::{Lease, still_holds};
/// A transaction, or a connection outside one.
pub use sqlx::PgConnection as Connection;

pub type Transaction = sqlx::Transaction<'static, sqlx::Postgres>;
/// Sensor and session id.
pub type SessionKey = (String, String);
