//! Sessions: a page of them, one of them, and what they add up to.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder};
use uuid::Uuid;

use super::Over;
use crate::Failure;

#[derive(Clone, PartialEq, Debug, FromRow)]
pub struct SessionRow {
    pub sensor: String,
    pub session: String,
    pub protocol: Option<String>,
    pub src_ip: Option<String>,
    pub src_port: Option<i32>,
    pub started_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    pub duration_ms: Option<i64>,
    pub close_reason: Option<String>,
    pub client_version: Option<String>,
    pub hassh: Option<String>,
    pub username: Option<String>,
    pub password: Option<String>,
    pub event_count: i64,
    pub login_attempts: i64,
    pub login_successes: i64,
    pub command_count: i64,
    pub download_count: i64,
    pub upload_count: i64,
    pub forward_count: i64,
    pub bytes: i64,
}

const COLUMNS: &str = "s.sensor, s.session, s.protocol, host(s.src_ip) as src_ip, s.src_port, s.started_at,
    s.ended_at, s.duration_ms, s.close_reason, s.client_version, s.hassh, s.username, s.password, s.event_count, s.login_attempts,
    s.login_successes, s.command_count, s.download_count, s.upload_count, s.forward_count, s.bytes";

/// How the logins of a session went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    Succeeded,
    /// There were attempts, and none succeeded.
    Failed,
    /// There was no attempt.
    None,
}

/// The order of a list; equals in the order of sensor and session.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Sort {
    #[default]
    Newest,
    Oldest,
    Longest,
    MostEvents,
    MostCommands,
}

impl Sort {
    /// What is sorted by, as a number that grows with the place in the list, newest first being negative time.
    fn place(self) -> &'static str {
        match self {
            Self::Newest => "-(extract(epoch from s.started_at) * 1000000)::bigint",
            Self::Oldest => "(extract(epoch from s.started_at) * 1000000)::bigint",
            Self::Longest => "-coalesce(s.duration_ms, -1)",
            Self::MostEvents => "-s.event_count",
            Self::MostCommands => "-s.command_count",
        }
    }

    /// The place of a row, as [`Self::place`] computes it.
    pub fn place_of(self, row: &SessionRow) -> i64 {
        match self {
            Self::Newest => -row.started_at.unwrap_or_default().timestamp_micros(),
            Self::Oldest => row.started_at.unwrap_or_default().timestamp_micros(),
            Self::Longest => -row.duration_ms.unwrap_or(-1),
            Self::MostEvents => -row.event_count,
            Self::MostCommands => -row.command_count,
        }
    }
}

/// Which sessions: those that began in the range and fulfil every condition that is given.
#[derive(Clone, PartialEq, Debug)]
pub struct SessionFilter {
    pub over: Over,
    /// First and last address.
    pub addresses: Option<(IpAddr, IpAddr)>,
    /// Tried in any login.
    pub username: Option<String>,
    /// Tried in any login.
    pub password: Option<String>,
    pub hassh: Option<String>,
    pub client_version: Option<String>,
    pub protocol: Option<String>,
    /// Part of a command.
    pub command: Option<String>,
    pub outcome: Option<Outcome>,
    pub sort: Sort,
    /// The place, the sensor and the session of the last row before.
    pub after: Option<(i64, String, String)>,
}

impl SessionFilter {
    pub fn of(over: Over) -> Self {
        Self {
            over,
            addresses: None,
            username: None,
            password: None,
            hassh: None,
            client_version: None,
            protocol: None,
            command: None,
            outcome: None,
            sort: Sort::default(),
            after: None,
        }
    }
}

/// Returns the first `limit` sessions after the place. A session that arrives later changes no page that comes
/// after its own place.
pub async fn list(
    on: &mut PgConnection,
    filter: &SessionFilter,
    limit: i64,
) -> Result<Vec<SessionRow>, Failure> {
    Ok(list_query(filter, limit).build_query_as().fetch_all(on).await?)
}

/// The statement of [`list`].
fn list_query(filter: &SessionFilter, limit: i64) -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::<Postgres>::new("select ");
    query.push(COLUMNS).push(" from sessions s where s.started_at >= ").push_bind(filter.over.span.from);
    query.push(" and s.started_at < ").push_bind(filter.over.span.to);
    if let Some(sensors) = &filter.over.sensors {
        query.push(" and s.sensor = any(").push_bind(sensors.clone()).push(")");
    }
    if let Some((first, last)) = filter.addresses {
        query.push(" and s.src_ip >= ").push_bind(first.to_string()).push("::text::inet");
        query.push(" and s.src_ip <= ").push_bind(last.to_string()).push("::text::inet");
    }
    let texts = [
        (" and s.hassh = ", &filter.hassh),
        (" and s.client_version = ", &filter.client_version),
        (" and s.protocol = ", &filter.protocol),
    ];
    for (condition, value) in texts {
        if let Some(value) = value {
            query.push(condition).push_bind(value.clone());
        }
    }
    const LOGIN: &str =
        " and exists (select from login_attempts l where l.sensor = s.sensor and l.session = s.session and ";
    if let Some(username) = &filter.username {
        query.push(LOGIN).push("l.username = ").push_bind(username.clone()).push(")");
    }
    if let Some(password) = &filter.password {
        query.push(LOGIN).push("l.password = ").push_bind(password.clone()).push(")");
    }
    if let Some(text) = &filter.command {
        query.push(" and s.command_count > 0 and exists (select from commands c where c.sensor = s.sensor and c.session = s.session");
        query.push(" and c.kind = 'input' and strpos(c.input, ").push_bind(text.clone()).push(") > 0)");
    }
    query.push(match filter.outcome {
        None => "",
        Some(Outcome::Succeeded) => " and s.login_successes > 0",
        Some(Outcome::Failed) => " and s.login_attempts > 0 and s.login_successes = 0",
        Some(Outcome::None) => " and s.login_attempts = 0",
    });
    after(&mut query, filter);
    query.push(" limit ").push_bind(limit);
    query
}

/// Adds where to go on, and the order. The orders by time use the index on `started_at`.
fn after(query: &mut QueryBuilder<Postgres>, filter: &SessionFilter) {
    let (comparison, order) = match filter.sort {
        Sort::Newest => ("<=", " order by s.started_at desc, s.sensor, s.session"),
        Sort::Oldest => (">=", " order by s.started_at, s.sensor, s.session"),
        _ => ("", ""),
    };
    let place = filter.sort.place();
    if let Some((at, sensor, session)) = &filter.after {
        let time = DateTime::from_timestamp_micros(at.saturating_abs());
        if let (Some(time), false) = (time, order.is_empty()) {
            query.push(" and s.started_at ").push(comparison).push(" ").push_bind(time);
        }
        query.push(" and (").push(place).push(", s.sensor, s.session) > (").push_bind(*at);
        query.push(", ").push_bind(sensor.clone()).push(", ").push_bind(session.clone()).push(")");
    }
    if order.is_empty() {
        query.push(" order by ").push(place).push(", s.sensor, s.session");
    } else {
        query.push(order);
    }
}

/// Returns one session.
pub async fn get(on: &mut PgConnection, sensor: &str, session: &str) -> Result<Option<SessionRow>, Failure> {
    let mut query = QueryBuilder::<Postgres>::new("select ");
    query.push(COLUMNS).push(" from sessions s where s.sensor = ").push_bind(sensor);
    query.push(" and s.session = ").push_bind(session);
    Ok(query.build_query_as().fetch_optional(on).await?)
}

/// Returns the sessions with this id, of any sensor.
pub async fn with_id(on: &mut PgConnection, session: &str) -> Result<Vec<SessionRow>, Failure> {
    let mut query = QueryBuilder::<Postgres>::new("select ");
    query.push(COLUMNS).push(" from sensors n join sessions s on s.sensor = n.sensor and s.session = ");
    query.push_bind(session).push(" order by s.started_at desc nulls last limit 100");
    Ok(query.build_query_as().fetch_all(on).await?)
}

/// An event of a session.
#[derive(Clone, PartialEq, Debug, FromRow)]
pub struct EventRow {
    pub event_id: Uuid,
    pub eventid: String,
    pub ts: Option<DateTime<Utc>>,
    pub payload: Value,
}

/// Returns the events of a session, oldest first, after one of them.
pub async fn events(
    on: &mut PgConnection,
    sensor: &str,
    session: &str,
    after: Option<(Option<DateTime<Utc>>, Uuid)>,
    limit: i64,
) -> Result<Vec<EventRow>, Failure> {
    let (at, id) = after.unzip();
    let at = at.flatten();
    let events = sqlx::query_as(
        "select e.event_id, e.eventid, nullif(e.ts, '-infinity') as ts, e.payload
        from sessions s, lateral (
            select * from events e where e.sensor = s.sensor and e.session = s.session and e.ts >= coalesce(s.started_at, '-infinity') and e.ts <= coalesce(s.last_event_at, 'infinity')
            union all
            select * from events_outside_time e where e.sensor = s.sensor and e.session = s.session and s.started_at is not null
        ) e
        where s.sensor = $1 and s.session = $2 and ($4::uuid is null or (e.ts, e.event_id) > (coalesce($3::timestamptz, '-infinity'), $4)) order by e.ts, e.event_id limit $5",
    )
    .bind(sensor)
    .bind(session)
    .bind(at)
    .bind(id)
    .bind(limit)
    .fetch_all(on)
    .await?;
    Ok(events)
}

/// What the sessions add up to that began in a range.
#[derive(Clone, PartialEq, Debug, FromRow)]
pub struct SessionTotals {
    pub sessions: i64,
    pub open: i64,
    pub closed: i64,
    pub idle: i64,
    pub ssh: i64,
    pub telnet: i64,
    pub with_login_attempts: i64,
    pub with_login_success: i64,
    pub with_commands: i64,
    pub with_downloads: i64,
    pub with_forwards: i64,
    pub commands: i64,
    pub distinct_src_ips: i64,
    pub average_duration_ms: Option<f64>,
    pub median_duration_ms: Option<f64>,
    pub p95_duration_ms: Option<f64>,
    pub longest_duration_ms: Option<i64>,
}

/// Returns what the sessions add up to that began in the range.
pub async fn totals(on: &mut PgConnection, over: &Over) -> Result<SessionTotals, Failure> {
    let totals = sqlx::query_as(
        "select count(*) as sessions, count(*) filter (where close_reason is null) as open, count(*) filter (where close_reason = 'closed') as closed,
            count(*) filter (where close_reason = 'idle') as idle, count(*) filter (where protocol = 'ssh') as ssh,
            count(*) filter (where protocol = 'telnet') as telnet, count(*) filter (where login_attempts > 0) as with_login_attempts,
            count(*) filter (where login_successes > 0) as with_login_success, count(*) filter (where command_count > 0) as with_commands,
            count(*) filter (where download_count > 0) as with_downloads, count(*) filter (where forward_count > 0) as with_forwards,
            coalesce(sum(command_count), 0)::bigint as commands, count(distinct src_ip) as distinct_src_ips, avg(duration_ms)::float8 as average_duration_ms,
            percentile_cont(0.5) within group (order by duration_ms) as median_duration_ms,
            percentile_cont(0.95) within group (order by duration_ms) as p95_duration_ms, max(duration_ms) as longest_duration_ms
        from sessions where started_at >= $1 and started_at < $2 and ($3::text[] is null or sensor = any($3))",
    )
    .bind(over.span.from)
    .bind(over.span.to)
    .bind(over.sensors.as_deref())
    .fetch_one(on)
    .await?;
    Ok(totals)
}
