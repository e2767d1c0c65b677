//! An mcp-api in this process, over a private Postgres server.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]
#![allow(clippy::too_many_lines, reason = "a test is one story, in its order")]

mod access;
mod docs;
mod http;
mod hub;
mod plans;
mod sessions;
mod statistics;
mod things;
