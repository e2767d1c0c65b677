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
    /// New events that came more than an hour behind the newest of the sensor.
    pub late: i64,
    /// The newest minute that its windows hold something of.
    pub newest_minute: Option<DateTime<Utc>>,
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

/// How far the windows are.
#[derive(Clone, Debug, Serialize)]
pub struct WindowStatus {
    /// Batches whose hours the roll-up has not looked at yet.
    pub touches: i64,
    /// Hours and days that are over and wait to be rolled up.
    pub visits: i64,
    /// How long the oldest of them waits, in seconds.
    pub roll_up_lag_seconds: f64,
    /// Days of events, from before there were windows, that are still to be added.
    pub days_to_add: i64,
    /// Before this, windows are exact to the hour.
    pub minutes_dropped_before: Option<DateTime<Utc>>,
    /// Before this, windows are exact to the day.
    pub hours_dropped_before: Option<DateTime<Utc>>,
}

/// How far the windows are.
pub async fn window_status(on: &mut PgConnection) -> Result<WindowStatus, Failure> {
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
