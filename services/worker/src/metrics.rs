//! The metrics of a worker.

use metrics::{describe_counter, describe_gauge};

/// Attempts that run now.
pub(crate) const RUNNING: &str = "cowriestream_worker_running";
/// Attempts that ended, by the state of the job after it.
pub(crate) const ATTEMPTS: &str = "cowriestream_worker_attempts_total";

/// Describes the metrics. Called once, at start.
pub(crate) fn describe() {
    describe_gauge!(RUNNING, "attempts that run now");
    describe_counter!(ATTEMPTS, "attempts that ended, by the state of the job after the attempt");
}
