//! The loader as it ships, against a real `nats-server`, with a processor that keeps its Postgres in memory
//! and can be made to misbehave.
//!
//! Needs `nats-server` 2.10 or newer: on PATH, where `tools/install` puts it, or set in
//! `COWRIESTREAM_NATS_SERVER`.

#![allow(clippy::unwrap_used, reason = "a test that cannot continue fails")]

mod archives;
mod broker;
mod broker_loss;
mod growth;
mod identity;
mod limits;
mod once;
mod processor;
mod receipts;
mod rotation;
mod site;
