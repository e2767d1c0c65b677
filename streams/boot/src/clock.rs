//! The wall clock.

use std::time::SystemTime;

use chrono::{DateTime, Utc};

/// The present time. The only place that reads the wall clock; `clippy.toml` forbids it elsewhere. Durations
/// are measured with `Instant`, which no clock change moves.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
pub fn now() -> DateTime<Utc> {
    SystemTime::now().into()
}
