//! Names and descriptions of the loader's metrics.

use metrics::{describe_counter, describe_gauge};

pub(crate) const EVENTS: &str = "cowriestream_loader_events_total";
pub(crate) const DEAD_LETTERS: &str = "cowriestream_loader_dead_letters_total";
pub(crate) const DROPPED: &str = "cowriestream_loader_dropped_total";
pub(crate) const BYTES: &str = "cowriestream_loader_bytes_total";
pub(crate) const REPAIRS: &str = "cowriestream_loader_repairs_total";
pub(crate) const REPUBLISHED: &str = "cowriestream_loader_republished_total";
pub(crate) const TRUNCATIONS: &str = "cowriestream_loader_truncations_total";
pub(crate) const GAP_BYTES: &str = "cowriestream_loader_gap_bytes_total";
pub(crate) const LAG_BYTES: &str = "cowriestream_loader_lag_bytes";

/// Registers the descriptions. Call it after the recorder is installed.
pub(crate) fn describe() {
    describe_counter!(EVENTS, "Events read from the logs");
    describe_counter!(DEAD_LETTERS, "Dead letters published, by reason");
    describe_counter!(DROPPED, "Events dropped by --drop");
    describe_counter!(BYTES, "Bytes of the logs read: events, dead letters, skipped and dropped bytes");
    describe_counter!(REPAIRS, "Lines repaired, by kind: glued, stitched, array");
    describe_counter!(REPUBLISHED, "Messages published again");
    describe_counter!(TRUNCATIONS, "Logs that were truncated in place");
    describe_counter!(GAP_BYTES, "Bytes that were lost before Postgres had committed them");
    describe_gauge!(LAG_BYTES, "Bytes on disk that Postgres has not committed yet");
}
