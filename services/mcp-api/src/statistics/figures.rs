//! What a range adds up to.

use chrono::{DateTime, Utc};
use serde::Serialize;
use store::windows::Window;
use utoipa::ToSchema;

/// The range that was counted
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
pub struct CountedRange {
    /// Inclusive
    pub from: DateTime<Utc>,
    /// Exclusive
    pub to: DateTime<Utc>,
    /// How exact the ends are: `minute`, or `hour` or `day` where finer figures are no longer kept
    #[schema(example = "minute")]
    pub exact_to: String,
}

/// What was counted. Distinct counts are exact below 1024, with a standard error of 3 % beyond
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
pub struct Figures {
    /// Log lines
    pub events: i64,
    /// Sessions that began
    pub sessions: i64,
    pub logins_failed: i64,
    pub logins_succeeded: i64,
    pub commands: i64,
    /// Files that were downloaded
    pub downloads: i64,
    /// Bytes of log lines
    pub bytes: i64,
    #[schema(required = true)]
    pub first_seen: Option<DateTime<Utc>>,
    #[schema(required = true)]
    pub last_seen: Option<DateTime<Utc>>,
    pub distinct_src_ips: i64,
    pub distinct_sensors: i64,
    /// Sessions that were active
    pub distinct_sessions: i64,
    pub distinct_credentials: i64,
}

/// The range and the figures of a window.
pub(crate) fn of_window(window: Window) -> (CountedRange, Figures) {
    let range = CountedRange { from: window.from_at, to: window.to_at, exact_to: window.grain };
    let figures = Figures {
        events: window.events,
        sessions: window.sessions,
        logins_failed: window.logins_failed,
        logins_succeeded: window.logins_succeeded,
        commands: window.commands,
        downloads: window.downloads,
        bytes: window.bytes,
        first_seen: window.first_seen,
        last_seen: window.last_seen,
        distinct_src_ips: window.distinct_src_ips,
        distinct_sensors: window.distinct_sensors,
        distinct_sessions: window.distinct_sessions,
        distinct_credentials: window.distinct_credentials,
    };
    (range, figures)
}
