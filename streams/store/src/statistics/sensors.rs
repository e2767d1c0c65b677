//! Sensors, each with its figures of a range.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection};

use super::Over;
use crate::Failure;

#[derive(Clone, PartialEq, Debug, FromRow)]
pub struct SensorRow {
    pub sensor: String,
    pub first_event_at: Option<DateTime<Utc>>,
    pub last_event_at: Option<DateTime<Utc>>,
    pub events_stored: i64,
    pub last_delivery_at: Option<DateTime<Utc>>,
    pub events: i64,
    pub sessions: i64,
    pub logins_failed: i64,
    pub logins_succeeded: i64,
    pub commands: i64,
    pub downloads: i64,
    pub bytes: i64,
}

/// Returns the sensors in the order of their names.
pub async fn list(on: &mut PgConnection, over: &Over) -> Result<Vec<SensorRow>, Failure> {
    let sensors = sqlx::query_as(
        "select n.sensor, n.first_event_at, n.last_event_at, n.event_count as events_stored, d.last_delivery_at, s.*
        from sensors n left join deliveries d on d.sensor = n.sensor, window_bounds($2 - $1, $2) b, lateral (
            select coalesce(sum(events), 0)::bigint as events, coalesce(sum(sessions), 0)::bigint as sessions,
                coalesce(sum(logins_failed), 0)::bigint as logins_failed, coalesce(sum(logins_succeeded), 0)::bigint as logins_succeeded,
                coalesce(sum(commands), 0)::bigint as commands, coalesce(sum(downloads), 0)::bigint as downloads, coalesce(sum(bytes), 0)::bigint as bytes
            from window_panes('sensor', n.sensor, b.from_at, b.to_at)
        ) s
        where $3::text[] is null or n.sensor = any($3) order by n.sensor",
    )
    .bind(over.span.from)
    .bind(over.span.to)
    .bind(over.sensors.as_deref())
    .fetch_all(on)
    .await?;
    Ok(sensors)
}
