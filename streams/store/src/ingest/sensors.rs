//! The table `sensors`.

use std::collections::HashMap;

use chrono::DateTime;
use events::SensorDelta;
use sqlx::PgConnection;

use crate::Failure;

/// Returns the time of the newest event of each of these sensors, in microseconds since 1970.
pub async fn newest_events(on: &mut PgConnection, sensors: &[&str]) -> Result<HashMap<String, i64>, Failure> {
    let rows = sqlx::query!(
        r#"select sensor, last_event_at as "at!" from sensors where sensor = any($1) and last_event_at is not null"#,
        sensors as &[&str]
    );
    Ok(rows.fetch_all(on).await?.into_iter().map(|row| (row.sensor, row.at.timestamp_micros())).collect())
}

/// Merges deltas (one per sensor, sorted).
pub async fn merge(on: &mut PgConnection, deltas: &[SensorDelta]) -> Result<(), Failure> {
    fn column<'a, T>(deltas: &'a [SensorDelta], value: impl Fn(&'a SensorDelta) -> T) -> Vec<T> {
        deltas.iter().map(value).collect()
    }
    if deltas.is_empty() {
        return Ok(());
    }
    let time = |micros: Option<i64>| micros.and_then(DateTime::from_timestamp_micros);
    sqlx::query!(
        "insert into sensors as s (sensor, first_event_at, last_event_at, event_count, outside_time_count, unknown_count, bytes)
        select * from unnest($1::text[], $2::timestamptz[], $3::timestamptz[], $4::int8[], $5::int8[], $6::int8[], $7::int8[])
        on conflict (sensor) do update set
            first_event_at = least(s.first_event_at, excluded.first_event_at),
            last_event_at = greatest(s.last_event_at, excluded.last_event_at),
            event_count = s.event_count + excluded.event_count,
            outside_time_count = s.outside_time_count + excluded.outside_time_count,
            unknown_count = s.unknown_count + excluded.unknown_count,
            bytes = s.bytes + excluded.bytes",
        &column(deltas, |d| d.sensor.as_str()) as &[&str],
        &column(deltas, |d| time(d.first_event_at)) as &[Option<_>],
        &column(deltas, |d| time(d.last_event_at)) as &[Option<_>],
        &column(deltas, |d| d.event_count),
        &column(deltas, |d| d.outside_time_count),
        &column(deltas, |d| d.unknown_count),
        &column(deltas, |d| d.bytes),
    )
    .execute(on)
    .await?;
    Ok(())
}
