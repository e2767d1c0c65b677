//! The metrics of the coordinator.

use metrics::{Unit, describe_counter, describe_gauge};

pub(crate) const MIRROR_STATUSES: &str = "cowriestream_mirror_statuses_total";
pub(crate) const MIRROR_REFUSED: &str = "cowriestream_mirror_refused_statuses_total";
pub(crate) const MIRROR_REBUILDS: &str = "cowriestream_mirror_rebuilds_total";
pub(crate) const FOLLOWED_JOBS: &str = "cowriestream_coordinator_followed_jobs";
pub(crate) const WATCH_READS: &str = "cowriestream_coordinator_watch_reads_total";

/// Describes each metric; called once at the start.
pub(crate) fn describe() {
    describe_counter!(MIRROR_STATUSES, Unit::Count, "Statuses of jobs written to the mirror in Redis");
    describe_counter!(MIRROR_REFUSED, Unit::Count, "Statuses that Redis refused, e.g. because it is full");
    describe_counter!(MIRROR_REBUILDS, Unit::Count, "How often the whole mirror was written");
    describe_gauge!(FOLLOWED_JOBS, Unit::Count, "Jobs that clients follow, over REST or gRPC");
    describe_counter!(WATCH_READS, Unit::Count, "Queries that read the changes of all followed jobs");
}
