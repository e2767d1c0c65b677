//! Queries for sliding windows.

use std::time::Duration;

use chrono::{DateTime, Utc};
use events::Dimension;
use serde::Serialize;
use sqlx::{PgConnection, postgres::types::PgInterval};

use crate::Failure;

/// The contents of a window. Distinct counts are exact below [`events::SKETCH_SIZE`].
#[derive(Clone, PartialEq, Debug, Serialize, sqlx::FromRow)]
pub struct Window {
    /// Start of what was counted, inclusive.
    pub from_at: DateTime<Utc>,
    /// End of what was counted, exclusive.
    pub to_at: DateTime<Utc>,
    /// Resolution: `minute`, or `hour` or `day` where finer panes were dropped.
    pub grain: String,
    pub events: i64,
    pub sessions: i64,
    pub logins_failed: i64,
    pub logins_succeeded: i64,
    pub commands: i64,
    pub downloads: i64,
    pub bytes: i64,
    pub first_seen: Option<DateTime<Utc>>,
    pub last_seen: Option<DateTime<Utc>>,
    pub distinct_src_ips: i64,
    pub distinct_sensors: i64,
    pub distinct_sessions: i64,
    pub distinct_credentials: i64,
}

/// The order of a top list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Measure {
    Events,
    Sessions,
    LoginsFailed,
    LoginsSucceeded,
    Commands,
    Downloads,
    Bytes,
    DistinctSrcIps,
    DistinctSensors,
    DistinctSessions,
    DistinctCredentials,
}

impl Measure {
    /// The name of the measure in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Sessions => "sessions",
            Self::LoginsFailed => "logins_failed",
            Self::LoginsSucceeded => "logins_succeeded",
            Self::Commands => "commands",
            Self::Downloads => "downloads",
            Self::Bytes => "bytes",
            Self::DistinctSrcIps => "distinct_src_ips",
            Self::DistinctSensors => "distinct_sensors",
            Self::DistinctSessions => "distinct_sessions",
            Self::DistinctCredentials => "distinct_credentials",
        }
    }
}

/// Returns the window of this length that ends with the minute which contains `at`.
pub async fn features(
    on: &mut PgConnection,
    dimension: Dimension,
    key: &str,
    length: Duration,
    at: DateTime<Utc>,
) -> Result<Window, Failure> {
    let window = sqlx::query_as!(
        Window,
        r#"select from_at as "from_at!", to_at as "to_at!", grain::text as "grain!", events as "events!", sessions as "sessions!",
            logins_failed as "logins_failed!", logins_succeeded as "logins_succeeded!", commands as "commands!", downloads as "downloads!", bytes as "bytes!",
            first_seen, last_seen, distinct_src_ips as "distinct_src_ips!", distinct_sensors as "distinct_sensors!",
            distinct_sessions as "distinct_sessions!", distinct_credentials as "distinct_credentials!"
        from window_features($1::text::pane_dimension, $2, $3, $4)"#,
        dimension.name(),
        key,
        interval(length)?,
        at,
    )
    .fetch_one(on)
    .await?;
    Ok(window)
}

/// Returns the windows of length `step` that together are the window of `length`, oldest first.
pub async fn series(
    on: &mut PgConnection,
    dimension: Dimension,
    key: &str,
    length: Duration,
    step: Duration,
    at: DateTime<Utc>,
) -> Result<Vec<Window>, Failure> {
    let windows = sqlx::query_as!(
        Window,
        r#"select from_at as "from_at!", to_at as "to_at!", grain::text as "grain!", events as "events!", sessions as "sessions!",
            logins_failed as "logins_failed!", logins_succeeded as "logins_succeeded!", commands as "commands!", downloads as "downloads!", bytes as "bytes!",
            first_seen, last_seen, distinct_src_ips as "distinct_src_ips!", distinct_sensors as "distinct_sensors!",
            distinct_sessions as "distinct_sessions!", distinct_credentials as "distinct_credentials!"
        from window_series($1::text::pane_dimension, $2, $3, $4, $5)"#,
        dimension.name(),
        key,
        interval(length)?,
        interval(step)?,
        at,
    )
    .fetch_all(on)
    .await?;
    Ok(windows)
}

/// Returns the `n` keys with the highest value of a measure, with the value.
pub async fn top(
    on: &mut PgConnection,
    dimension: Dimension,
    measure: Measure,
    length: Duration,
    at: DateTime<Utc>,
    n: u32,
) -> Result<Vec<(String, i64)>, Failure> {
    let rows = sqlx::query!(
        r#"select key as "key!", value as "value!" from window_top($1::text::pane_dimension, $2, $3, $4, $5)"#,
        dimension.name(),
        measure.name(),
        interval(length)?,
        at,
        i32::try_from(n).unwrap_or(i32::MAX),
    )
    .fetch_all(on)
    .await?;
    Ok(rows.into_iter().map(|row| (row.key, row.value)).collect())
}

fn interval(length: Duration) -> Result<PgInterval, Failure> {
    PgInterval::try_from(length)
        .map_err(|error| Failure::Reject(anyhow::anyhow!("a window of {length:?}: {error}")))
}
