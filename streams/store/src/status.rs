//! What `status` asks of the database.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;

use crate::Failure;

/// A sensor as the database sees it.
#[derive(Clone, Debug, Serialize)]
pub struct SensorStatus {
    /// Its id.
    pub sensor: String,
    /// Time of its last event.
    pub last_event_at: Option<DateTime<Utc>>,
    /// Distinct events.
    pub events: i64,
    /// Of them, events with an id that no version of Cowrie is known to write.
    pub unknown: i64,
    /// Sessions.
    pub sessions: i64,
    /// Events delivered that were there already.
    pub duplicates: i64,
    /// Events delivered for a sealed day.
    pub sealed: i64,
    /// Dead letters not resolved.
    pub dead_letters: i64,
    /// Of them, bytes that could not be read again.
    pub gap_bytes: i64,
    /// When the stream last delivered something of it.
    pub last_delivery_at: Option<DateTime<Utc>>,
}

/// Every sensor that the database knows.
pub async fn sensor_status(on: &mut PgConnection) -> Result<Vec<SensorStatus>, Failure> {
    let rows = sqlx::query_as!(
        SensorStatus,
        r#"select k.sensor as "sensor!", n.last_event_at, coalesce(n.event_count, 0) as "events!", coalesce(n.unknown_count, 0) as "unknown!",
            (select count(*) from sessions s where s.sensor = k.sensor) as "sessions!",
            coalesce(d.duplicates, 0) as "duplicates!", coalesce(d.sealed, 0) as "sealed!",
            coalesce(l.letters, 0) as "dead_letters!", coalesce(l.gap, 0)::int8 as "gap_bytes!", d.last_delivery_at as "last_delivery_at?"
        from (select sensor from sensors union select sensor from deliveries union select sensor from dead_letters) k
        left join sensors n on n.sensor = k.sensor
        left join deliveries d on d.sensor = k.sensor
        left join (
            select sensor, count(*) as letters, sum(length) filter (where reason = 'gap') as gap
            from dead_letters where resolved_at is null group by sensor
        ) l on l.sensor = k.sensor
        order by 1"#
    )
    .fetch_all(on)
    .await?;
    Ok(rows)
}
