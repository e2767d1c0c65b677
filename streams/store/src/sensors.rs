//! The table `sensors`.

use std::collections::HashMap;

use chrono::DateTime;
use events::SensorDelta;
use sqlx::PgConnection;

use crate::Failure;

/// The time of the newest event of these sensors, in microseconds since 1970.
pub async fn newest_events(on: &mut PgConnection, sensors: &[&str]) -> Result<HashMap<String, i64>, Failure> {
    let rows = sqlx::query!(r#"select sensor, last_event_at as "at!" from sensors where sensor = any($1) and last_event_at is not null"#, sensors as &[&str]);
    Ok(rows.fetch_all(on).await?.into_iter().map(|row| (row.sensor, row.at.timestamp_micros())).collect())
}

/// Merges deltas (one per sensor, sorted).
pub async fn merge_sensors(on: &mut PgConnection, deltas: &[SensorDelta]) -> Result<(), Failure> {
    let time = |micros: Option<i64>| micros.and_then(DateTime::from_timestamp_micros);
    for delta in deltas {
        sqlx::query!(
            "insert into sensors as s (sensor, first_event_at, last_event_at, event_count, outside_time_count, unknown_count, bytes)
            values ($1, $2, $3, $4, $5, $6, $7)
            on conflict (sensor) do update set
                first_event_at = least(s.first_event_at, excluded.first_event_at),
                last_event_at = greatest(s.last_event_at, excluded.last_event_at),
                event_count = s.event_count + excluded.event_count,
                outside_time_count = s.outside_time_count + excluded.outside_time_count,
                unknown_count = s.unknown_count + excluded.unknown_count,
                bytes = s.bytes + excluded.bytes",
            delta.sensor.as_str(),
            time(delta.first_event_at),
            time(delta.last_event_at),
            delta.event_count,
            delta.outside_time_count,
            delta.unknown_count,
            delta.bytes,
        )
        .execute(&mut *on)
        .await?;
    }
    Ok(())
}
