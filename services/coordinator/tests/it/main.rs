//! A coordinator in this process, over private NATS and Postgres servers.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]
#![allow(clippy::print_stdout, reason = "what a test measured")]
#![allow(clippy::too_many_lines, reason = "a test is one story, in its order")]

mod access;
mod follow;
mod grpc;
mod http;
mod hub;
mod idempotency;
mod job_types;
mod limits;
mod lists;
mod migration;
mod refusals;
mod requests;
mod schedules;
mod web_pages;
