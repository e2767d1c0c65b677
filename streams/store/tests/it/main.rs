//! The store alone, against a private Postgres server.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod functions;
