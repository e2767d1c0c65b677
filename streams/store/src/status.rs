//! Queries of `status`.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;

use crate::Failure;

#[derive(Clone, Debug, Serialize)]
pub struct SensorStatus {
    pub sensor: String,
    /// Time of its last event.
    pub last_event_at: Option<DateTime<Utc>>,
    pub events: i64,
    /// Number of events with an id that no known version of Cowrie writes.
    pub unknown: i64,
    pub sessions: i64,
    /// Number of delivered events that were stored already.
    pub duplicates: i64,
    /// Number of delivered events of a sealed day.
    pub sealed: i64,
    /// Number of new events more than an hour older than the newest of the sensor.
    pub late: i64,
    /// The newest minute of its windows.
    pub newest_minute: Option<DateTime<Utc>>,
    /// Number of unresolved dead letters.
    pub dead_letters: i64,
    /// Number of lost bytes among them.
    pub gap_bytes: i64,
    /// When the stream last delivered an event of it.
    pub last_delivery_at: Option<DateTime<Utc>>,
}

/// Returns every sensor in the database.
pub async fn sensors(on: &mut PgConnection) -> Result<Vec<SensorStatus>, Failure> {
    let rows = sqlx::query_as!(
        SensorStatus,
        r#"select k.sensor as "sensor!", n.last_event_at, coalesce(n.event_count, 0) as "events!", coalesce(n.unknown_count, 0) as "unknown!",
            (select count(*) from sessions s where s.sensor = k.sensor) as "sessions!",
            coalesce(d.duplicates, 0) as "duplicates!", coalesce(d.sealed, 0) as "sealed!", coalesce(d.late, 0) as "late!",
            (select max(m.at) from (values (true), (false)) c (covered), lateral (
                select at from feature_panes_minute p where p.dimension = 'sensor' and p.key = k.sensor and p.covered = c.covered order by at desc limit 1
            ) m) as newest_minute,
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

#[derive(Clone, Debug, Serialize)]
pub struct WindowStatus {
    /// Number of batches whose hours the roll-up has not read.
    pub touches: i64,
    /// Number of hours and days that are over and wait for the roll-up.
    pub visits: i64,
    /// Age of the oldest of them, in seconds.
    pub roll_up_lag_seconds: f64,
    /// Number of days from before windows were introduced that are still to be added.
    pub days_to_add: i64,
    /// Before this time, windows are exact to the hour.
    pub minutes_dropped_before: Option<DateTime<Utc>>,
    /// Before this time, windows are exact to the day.
    pub hours_dropped_before: Option<DateTime<Utc>>,
}

pub async fn windows(on: &mut PgConnection) -> Result<WindowStatus, Failure> {
    let row = sqlx::query_as!(
        WindowStatus,
        r#"select (select count(*) from pane_touches) as "touches!", count(*) as "visits!",
            coalesce(extract(epoch from clock_timestamp() - least(min(v.touched_at), (select min(touched_at) from pane_touches)))::float8, 0) as "roll_up_lag_seconds!",
            (select count(*) from pane_backfill) as "days_to_add!",
            (select dropped_before from pane_retention where grain = 'minute') as minutes_dropped_before,
            (select dropped_before from pane_retention where grain = 'hour') as hours_dropped_before
        from pane_visits v, (select least(max(last_event_at), now()) as newest from sensors) c
        where v.at + case v.grain when 'day' then interval '1 day' else interval '1 hour' end <= c.newest - interval '2 minutes'"#
    )
    .fetch_one(on)
    .await?;
    Ok(row)
}

/// Milliseconds that this server is behind its primary; 0 for a primary, and for a replica that has replayed
/// all that it received.
pub async fn replica_lag(on: &mut PgConnection) -> Result<i64, Failure> {
    let lag = sqlx::query_scalar(
        "select case when not pg_is_in_recovery() or pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() then 0
            else coalesce(extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp()) * 1000, 0)::bigint end",
    )
    .fetch_one(on)
    .await?;
    Ok(lag)
}
