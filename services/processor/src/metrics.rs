//! The names of the processor's metrics.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

pub(crate) const BACKFILLED_SESSIONS: &str = "cowriestream_processor_backfilled_sessions_total";
pub(crate) const BATCH_MESSAGES: &str = "cowriestream_processor_batch_messages";
pub(crate) const BATCH_SECONDS: &str = "cowriestream_processor_batch_seconds";
pub(crate) const CONSUMER_RESETS: &str = "cowriestream_processor_consumer_resets_total";
pub(crate) const DEAD_LETTERS_EMPTIED: &str = "cowriestream_processor_dead_letters_emptied_total";
pub(crate) const EVENTS: &str = "cowriestream_processor_events_total";
pub(crate) const FINDINGS: &str = "cowriestream_processor_findings_total";
pub(crate) const FOREIGN_MESSAGES: &str = "cowriestream_processor_foreign_messages_total";
pub(crate) const LATE_EVENTS: &str = "cowriestream_processor_late_events_total";
pub(crate) const REJECTED: &str = "cowriestream_processor_rejected_total";
pub(crate) const ROLL_UP_LAG_SECONDS: &str = "cowriestream_processor_roll_up_lag_seconds";
pub(crate) const ROLL_UP_VISITS: &str = "cowriestream_processor_roll_up_visits";
pub(crate) const ROLLED_UP_ROWS: &str = "cowriestream_processor_rolled_up_rows_total";

/// Describes every metric of the processor to the recorder.
pub(crate) fn describe() {
    describe_counter!(BACKFILLED_SESSIONS, "Earlier sessions whose features were computed");
    describe_histogram!(BATCH_MESSAGES, "Messages in a committed batch");
    describe_histogram!(BATCH_SECONDS, Unit::Seconds, "Time from receiving a batch to its commit");
    describe_counter!(CONSUMER_RESETS, "Consumers recreated from a lower position");
    describe_counter!(DEAD_LETTERS_EMPTIED, "Dead letters emptied to stay under the limit");
    describe_counter!(EVENTS, "Delivered events by result: new, duplicate or sealed");
    describe_counter!(FINDINGS, "Findings opened by live rules, by severity");
    describe_counter!(FOREIGN_MESSAGES, "Messages dropped because no loader sends them");
    describe_counter!(LATE_EVENTS, "New events an hour or more older than the newest of their sensor");
    describe_counter!(REJECTED, "Events that the database refused; stored as dead letters");
    describe_gauge!(ROLL_UP_LAG_SECONDS, Unit::Seconds, "Time by which the roll-up of panes is behind");
    describe_gauge!(ROLL_UP_VISITS, "Spans of panes that wait for the roll-up");
    describe_counter!(ROLLED_UP_ROWS, "Rows of panes merged into coarser ones");
}
