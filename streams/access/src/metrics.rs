//! The metrics of access.

use metrics::{Unit, describe_counter};

pub(crate) const DENIED: &str = "cowriestream_access_denied_requests_total";
pub(crate) const NOT_AUDITED: &str = "cowriestream_access_unaudited_total";

/// Describes each metric; called once at the start.
pub(crate) fn describe() {
    describe_counter!(DENIED, Unit::Count, "Requests that were denied, by the code of the problem");
    describe_counter!(NOT_AUDITED, Unit::Count, "Lines that are missing in the audit log, by reason");
}
