//! The load test's own tests: its logs are like real ones, and always the same.

mod generate;
mod like_samples;
mod shapes;
