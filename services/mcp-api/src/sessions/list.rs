//! A page of sessions.

use chrono::{DateTime, Utc};
use serde::Serialize;
use store::statistics::{
    self,
    sessions::{SessionFilter, SessionRow, Sort},
};
use utoipa::ToSchema;
use web::{Page, Principal, Problem, token};

use crate::{Api, problem::failed, redact};

/// A session
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
pub struct Session {
    pub sensor: String,
    pub session: String,
    #[schema(required = true, example = "ssh")]
    pub protocol: Option<String>,
    #[schema(required = true)]
    pub src_ip: Option<String>,
    #[schema(required = true)]
    pub src_port: Option<i32>,
    #[schema(required = true)]
    pub started_at: Option<DateTime<Utc>>,
    #[schema(required = true)]
    pub ended_at: Option<DateTime<Utc>>,
    #[schema(required = true)]
    pub duration_ms: Option<i64>,
    /// `closed`, or `idle` after an hour without events; null while it is open
    #[schema(required = true)]
    pub close_reason: Option<String>,
    #[schema(required = true)]
    pub client_version: Option<String>,
    #[schema(required = true)]
    pub hassh: Option<String>,
    /// Of the first login that succeeded
    #[schema(required = true)]
    pub username: Option<String>,
    /// Of the first login that succeeded; hidden without the scope secrets:read
    #[schema(required = true)]
    pub password: Option<String>,
    pub event_count: i64,
    pub login_attempts: i64,
    pub login_successes: i64,
    pub command_count: i64,
    pub download_count: i64,
    pub upload_count: i64,
    pub forward_count: i64,
    /// Of log lines
    pub bytes: i64,
}

impl Session {
    pub(crate) fn of(who: &Principal, row: SessionRow) -> Self {
        Self {
            sensor: row.sensor,
            session: row.session,
            protocol: row.protocol,
            src_ip: row.src_ip,
            src_port: row.src_port,
            started_at: row.started_at,
            ended_at: row.ended_at,
            duration_ms: row.duration_ms,
            close_reason: row.close_reason,
            client_version: row.client_version,
            hassh: row.hassh,
            username: row.username,
            password: row.password.map(|password| redact::password(who, password)),
            event_count: row.event_count,
            login_attempts: row.login_attempts,
            login_successes: row.login_successes,
            command_count: row.command_count,
            download_count: row.download_count,
            upload_count: row.upload_count,
            forward_count: row.forward_count,
            bytes: row.bytes,
        }
    }
}

/// A page of sessions
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
pub struct SessionList {
    pub sessions: Vec<Session>,
    #[schema(required = true)]
    pub next_page_token: Option<String>,
}

impl Api {
    /// A page of sessions.
    pub(crate) async fn sessions(
        &self,
        who: &Principal,
        mut filter: SessionFilter,
        page: &Page,
    ) -> Result<SessionList, Problem> {
        if filter.password.is_some() && !redact::sees_secrets(who) {
            let detail = "to filter by password, a key needs the scope secrets:read";
            return Err(Problem::new(web::Code::Forbidden, detail));
        }
        filter.after =
            page.after().map(|key| read_key(filter.sort, key).ok_or_else(Page::wrong_token)).transpose()?;
        let size = page.page_size as usize;
        let mut connection = self.connection().await?;
        let limit = i64::from(page.page_size) + 1;
        let mut rows = statistics::sessions::list(&mut connection, &filter, limit).await.map_err(failed)?;
        let more = rows.len() > size;
        rows.truncate(size);
        let last = rows.last().filter(|_| more);
        let next_page_token = last.map(|row| token(&key(filter.sort, row)));
        let sessions = rows.into_iter().map(|row| Session::of(who, row)).collect();
        Ok(SessionList { sessions, next_page_token })
    }
}

/// The name of an order, in a request and in page tokens.
pub(crate) fn sort_name(sort: Sort) -> &'static str {
    match sort {
        Sort::Newest => "newest",
        Sort::Oldest => "oldest",
        Sort::Longest => "longest",
        Sort::MostEvents => "most_events",
        Sort::MostCommands => "most_commands",
    }
}

/// A session's place in the list. Sensors and numbers have no `/`.
pub(crate) fn key(sort: Sort, row: &SessionRow) -> String {
    format!("{}/{}/{}/{}", sort_name(sort), sort.place_of(row), row.sensor, row.session)
}

fn read_key(sort: Sort, key: &str) -> Option<(i64, String, String)> {
    let mut parts = key.splitn(4, '/');
    let same = parts.next()? == sort_name(sort);
    let place = parts.next()?.parse().ok()?;
    let (sensor, session) = (parts.next()?, parts.next()?);
    let clean = !sensor.contains('\0') && !session.contains('\0');
    (same && clean).then(|| (place, sensor.to_owned(), session.to_owned()))
}
