//! The table `deliveries`.

use events::SensorId;
use sqlx::PgConnection;

use crate::Failure;

/// Counts of what a batch delivered of one sensor.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Delivery {
    /// Events, duplicates included.
    pub events: i64,
    /// Events that were stored already.
    pub duplicates: i64,
    /// Events of a sealed day.
    pub sealed: i64,
    /// New events more than an hour behind the newest of their sensor.
    pub late: i64,
    /// New events whose time is near the clock.
    pub live: i64,
}

/// Adds the counts, which must be sorted by sensor.
pub async fn add(on: &mut PgConnection, deliveries: &[(&SensorId, Delivery)]) -> Result<(), Failure> {
    fn column<'a, T>(deliveries: &'a [(&SensorId, Delivery)], value: impl Fn(&'a Delivery) -> T) -> Vec<T> {
        deliveries.iter().map(|(_, delivery)| value(delivery)).collect()
    }
    if deliveries.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into deliveries as d (sensor, events, duplicates, sealed, late, last_live_at)
        select sensor, events, duplicates, sealed, late, case when live then now() end
        from unnest($1::text[], $2::int8[], $3::int8[], $4::int8[], $5::int8[], $6::bool[]) as n (sensor, events, duplicates, sealed, late, live)
        on conflict (sensor) do update set
            events = d.events + excluded.events,
            duplicates = d.duplicates + excluded.duplicates,
            sealed = d.sealed + excluded.sealed,
            late = d.late + excluded.late,
            last_live_at = coalesce(excluded.last_live_at, d.last_live_at),
            last_delivery_at = now()",
        &deliveries.iter().map(|(sensor, _)| sensor.as_str()).collect::<Vec<_>>() as &[&str],
        &column(deliveries, |d| d.events),
        &column(deliveries, |d| d.duplicates),
        &column(deliveries, |d| d.sealed),
        &column(deliveries, |d| d.late),
        &column(deliveries, |d| d.live > 0),
    )
    .execute(on)
    .await?;
    Ok(())
}
