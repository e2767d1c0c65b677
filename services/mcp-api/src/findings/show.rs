//! One finding, and what people say about it.

use chrono::{DateTime, Utc};
use serde::Serialize;
use store::statistics;
use utoipa::ToSchema;
use uuid::Uuid;
use web::{Principal, Problem};

use super::list::Finding;
use crate::{
    Api,
    problem::{away, failed},
};

/// Sessions of a finding that are listed.
const MOST_SESSIONS: i64 = 100;
/// How a finding may be judged.
pub(crate) const STATUSES: [&str; 4] = ["open", "acknowledged", "false_positive", "resolved"];

/// A finding with its sessions and what was said about it
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
pub struct FindingDetail {
    pub finding: Finding,
    /// The oldest first: the first 100
    pub sessions: Vec<SessionRef>,
    /// The last first
    pub triage: Vec<Triage>,
}

/// The name of a session
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct SessionRef {
    pub sensor: String,
    pub session: String,
}

/// What somebody said about a finding
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
pub struct Triage {
    pub triaged_at: DateTime<Utc>,
    /// Name of the key
    pub triaged_by: String,
    pub status: String,
    #[schema(required = true)]
    pub note: Option<String>,
}

impl Api {
    /// One finding.
    pub(crate) async fn finding(&self, who: &Principal, id: &str) -> Result<FindingDetail, Problem> {
        let id = read_id(id)?;
        let mut connection = self.connection().await?;
        detail(&mut connection, who, id).await
    }

    /// Records what somebody says about a finding; the finding as it is then.
    pub(crate) async fn triage(
        &self,
        who: &Principal,
        id: &str,
        status: &str,
        note: Option<&str>,
    ) -> Result<FindingDetail, Problem> {
        let id = read_id(id)?;
        // Of the primary: what is written must be in the answer.
        let mut connection =
            match tokio::time::timeout(crate::api::CONNECTION_LIMIT, self.store.connection()).await {
                Ok(connection) => connection.map_err(failed)?,
                Err(_) => return Err(away()),
            };
        // A key that does not see the finding must not change it either.
        detail(&mut connection, who, id).await?;
        statistics::findings::triage(&mut connection, id, status, note, &who.name).await.map_err(failed)?;
        self.access.record(who, "triage_finding", id.to_string(), status.to_owned()).await;
        detail(&mut connection, who, id).await
    }
}

async fn detail(on: &mut store::Connection, who: &Principal, id: Uuid) -> Result<FindingDetail, Problem> {
    let row = statistics::findings::get(on, id).await.map_err(failed)?;
    let seen = row.filter(|row| match (&who.sensors, &row.sensor) {
        (None, _) => true,
        (Some(allowed), Some(sensor)) => allowed.contains(sensor),
        (Some(_), None) => false,
    });
    let row = seen.ok_or_else(|| Problem::not_found(format!("there is no finding {id}")))?;
    let sessions = statistics::findings::sessions(on, id, MOST_SESSIONS).await.map_err(failed)?;
    let triage = statistics::findings::triage_of(on, id).await.map_err(failed)?;
    Ok(FindingDetail {
        finding: Finding::of(who, row),
        sessions: sessions.into_iter().map(|(sensor, session)| SessionRef { sensor, session }).collect(),
        triage: triage
            .into_iter()
            .map(|row| Triage {
                triaged_at: row.triaged_at,
                triaged_by: row.triaged_by,
                status: row.status,
                note: row.note,
            })
            .collect(),
    })
}

fn read_id(text: &str) -> Result<Uuid, Problem> {
    Uuid::try_parse(text).map_err(|_| Problem::field("finding_id", "expected a UUID"))
}
