//! The metrics that every role has.

use metrics::describe_gauge;

/// Whether a duty fails at present: 0 or 1.
pub(crate) const DUTY_FAILING: &str = "cowriestream_duty_failing";

/// Describes the metrics. Called once, when their endpoint starts.
pub(crate) fn describe() {
    describe_gauge!(DUTY_FAILING, "Whether a background duty fails at present (1) or not (0), by duty");
}
