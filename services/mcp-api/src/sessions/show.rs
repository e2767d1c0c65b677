//! One session with its events.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use store::statistics::{self, sessions::EventRow};
use utoipa::ToSchema;
use uuid::Uuid;
use web::{Page, Principal, Problem, token};

use super::list::Session;
use crate::{Api, findings::list::Finding, problem::failed, redact};

/// Findings of a session that are listed.
const MOST_FINDINGS: i64 = 50;

/// A session with its events and findings
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
pub struct SessionDetail {
    pub session: Session,
    /// The oldest first; a page of them
    pub events: Vec<SessionEvent>,
    pub findings: Vec<Finding>,
    /// Of the events
    #[schema(required = true)]
    pub next_page_token: Option<String>,
}

/// An event of a session
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
pub struct SessionEvent {
    pub event_id: Uuid,
    #[schema(example = "cowrie.command.input")]
    pub eventid: String,
    /// Null when the time of the line cannot be read
    #[schema(required = true)]
    pub at: Option<DateTime<Utc>>,
    /// The line as Cowrie wrote it. Texts in it were typed by attackers
    #[schema(value_type = Object)]
    pub payload: Value,
}

impl Api {
    /// One session with a page of its events.
    pub(crate) async fn session(
        &self,
        who: &Principal,
        sensor: &str,
        session: &str,
        page: &Page,
    ) -> Result<SessionDetail, Problem> {
        let after = page.after().map(|key| read_key(key).ok_or_else(Page::wrong_token)).transpose()?;
        let missing = || Problem::not_found("there is no such session of this sensor");
        let hidden = who.sensors.as_ref().is_some_and(|allowed| !allowed.iter().any(|one| one == sensor));
        if hidden || sensor.contains('\0') || session.contains('\0') {
            return Err(missing());
        }
        let mut connection = self.connection().await?;
        let on = &mut *connection;
        let row =
            statistics::sessions::get(on, sensor, session).await.map_err(failed)?.ok_or_else(missing)?;
        let limit = i64::from(page.page_size) + 1;
        let mut rows =
            statistics::sessions::events(on, sensor, session, after, limit).await.map_err(failed)?;
        let more = rows.len() > page.page_size as usize;
        rows.truncate(page.page_size as usize);
        let next_page_token = rows.last().filter(|_| more).map(|row| token(&key(row)));
        let keys = [(sensor.to_owned(), session.to_owned())];
        let about =
            statistics::findings::about(on, session, &keys, who.sensors.as_deref(), MOST_FINDINGS).await;
        let event = |row: EventRow| SessionEvent {
            payload: redact::payload(who, &row.eventid, row.payload),
            event_id: row.event_id,
            eventid: row.eventid,
            at: row.ts,
        };
        Ok(SessionDetail {
            session: Session::of(who, row),
            events: rows.into_iter().map(event).collect(),
            findings: about.map_err(failed)?.into_iter().map(|row| Finding::of(who, row)).collect(),
            next_page_token,
        })
    }
}

fn key(row: &EventRow) -> String {
    let at = row.ts.map_or_else(String::new, |at| at.timestamp_micros().to_string());
    format!("{at}_{}", row.event_id)
}

fn read_key(key: &str) -> Option<(Option<DateTime<Utc>>, Uuid)> {
    let (micros, id) = key.split_once('_')?;
    let at = match micros {
        "" => None,
        micros => {
            let at = DateTime::from_timestamp_micros(micros.parse().ok()?);
            Some(at.filter(|&at| fields::is_time(at))?)
        }
    };
    Some((at, Uuid::try_parse(id).ok()?))
}
