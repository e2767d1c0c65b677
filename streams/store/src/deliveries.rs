//! The table `deliveries`.

use events::SensorId;
use sqlx::PgConnection;

use crate::Failure;

/// What a batch delivered of one sensor.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Delivery {
    /// Events, duplicates included.
    pub events: i64,
    /// Events that were there already.
    pub duplicates: i64,
    /// Events of a sealed day.
    pub sealed: i64,
    /// New events more than an hour behind the newest of their sensor.
    pub late: i64,
    /// New events whose time is near the clock.
    pub live: i64,
}

/// Adds what was delivered (sorted by sensor).
pub async fn add_deliveries(on: &mut PgConnection, deliveries: &[(&SensorId, Delivery)]) -> Result<(), Failure> {
    for (sensor, delivery) in deliveries {
        sqlx::query!(
            "insert into deliveries as d (sensor, events, duplicates, sealed, late, last_live_at) values ($1, $2, $3, $4, $5, case when $6 then now() end)
            on conflict (sensor) do update set
                events = d.events + excluded.events,
                duplicates = d.duplicates + excluded.duplicates,
                sealed = d.sealed + excluded.sealed,
                late = d.late + excluded.late,
                last_live_at = coalesce(excluded.last_live_at, d.last_live_at),
                last_delivery_at = now()",
            sensor.as_str(),
            delivery.events,
            delivery.duplicates,
            delivery.sealed,
            delivery.late,
            delivery.live > 0,
        )
        .execute(&mut *on)
        .await?;
    }
    Ok(())
}
