//! Tests of the load generator: its logs are like real ones, and reproducible.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]
#![allow(clippy::print_stdout, reason = "what a test measured")]

mod generate;
mod like_samples;
mod plant;
mod program;
mod shapes;
