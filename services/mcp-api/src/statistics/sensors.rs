//! Sensors, each with its figures.

use chrono::{DateTime, Utc};
use serde::Serialize;
use store::statistics::{self, Over, sensors::SensorRow};
use utoipa::ToSchema;
use web::{Page, Problem};

use crate::{Api, problem::failed};

/// A page of sensors
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
pub struct SensorList {
    pub sensors: Vec<Sensor>,
    #[schema(required = true)]
    pub next_page_token: Option<String>,
}

/// A sensor with its figures of the range
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
pub struct Sensor {
    pub sensor: String,
    /// Of all that is stored
    #[schema(required = true)]
    pub first_event_at: Option<DateTime<Utc>>,
    #[schema(required = true)]
    pub last_event_at: Option<DateTime<Utc>>,
    pub events_stored: i64,
    /// When a message of the sensor last arrived
    #[schema(required = true)]
    pub last_delivery_at: Option<DateTime<Utc>>,
    /// In the range, as the others below
    pub events: i64,
    pub sessions: i64,
    pub logins_failed: i64,
    pub logins_succeeded: i64,
    pub commands: i64,
    pub downloads: i64,
    pub bytes: i64,
}

impl From<SensorRow> for Sensor {
    fn from(row: SensorRow) -> Self {
        Self {
            sensor: row.sensor,
            first_event_at: row.first_event_at,
            last_event_at: row.last_event_at,
            events_stored: row.events_stored,
            last_delivery_at: row.last_delivery_at,
            events: row.events,
            sessions: row.sessions,
            logins_failed: row.logins_failed,
            logins_succeeded: row.logins_succeeded,
            commands: row.commands,
            downloads: row.downloads,
            bytes: row.bytes,
        }
    }
}

impl Api {
    /// Sensors, each with its figures of a range.
    pub(crate) async fn sensors(&self, over: &Over, page: &Page) -> Result<SensorList, Problem> {
        let mut connection = self.connection().await?;
        let rows = statistics::sensors::list(&mut connection, over).await.map_err(failed)?;
        let sensors = rows.into_iter().map(Sensor::from).collect();
        let (sensors, next_page_token) = page.cut(sensors, |sensor| sensor.sensor.clone());
        Ok(SensorList { sensors, next_page_token })
    }
}
