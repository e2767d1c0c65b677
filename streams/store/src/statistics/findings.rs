//! Findings as readers see them, and what people say about them.

use chrono::{DateTime, Utc};
use findings::{Kind, Severity};
use serde_json::Value;
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder};
use uuid::Uuid;

use super::Span;
use crate::{Failure, SessionKey};

#[derive(Clone, PartialEq, Debug, FromRow)]
pub struct FindingRow {
    pub finding_id: Uuid,
    pub revision: i32,
    pub kind: String,
    pub severity: String,
    pub rule: String,
    pub title: String,
    pub sensor: Option<String>,
    pub dimension: Option<String>,
    pub key: String,
    pub found_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub confidence: Option<f32>,
    pub first_seen: Option<DateTime<Utc>>,
    pub last_seen: Option<DateTime<Utc>>,
    pub job_id: Option<Uuid>,
    pub evidence: Value,
    pub sources: Vec<String>,
    pub session_count: i64,
    pub status: String,
    pub note: Option<String>,
    pub triaged_by: Option<String>,
    pub triaged_at: Option<DateTime<Utc>>,
}

const SELECT: &str = "select f.finding_id, f.revision, f.kind, f.severity, f.rule, f.title, f.sensor, f.dimension::text, f.key, f.found_at,
    coalesce(f.updated_at, f.created_at) as updated_at, f.confidence, f.first_seen, f.last_seen, f.job_id, f.evidence,
    coalesce(f.sources, '{}') as sources, (select count(*) from finding_sessions s where s.finding_id = f.finding_id) as session_count,
    f.status, f.note, f.triaged_by, f.triaged_at from findings f where true";

/// Which findings. What is empty or absent does not limit.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct FindingFilter {
    /// Inserted or updated in it.
    pub span: Option<Span>,
    pub kinds: Vec<Kind>,
    pub severities: Vec<Severity>,
    pub statuses: Vec<String>,
    pub rule: Option<String>,
    pub key: Option<String>,
    /// A source address.
    pub src_ip: Option<String>,
    /// Only findings about one of these sensors alone.
    pub sensors: Option<Vec<String>>,
    pub after: Option<(DateTime<Utc>, Uuid)>,
}

/// Returns the first `limit` findings after a place, the last updated first.
pub async fn list(
    on: &mut PgConnection,
    filter: &FindingFilter,
    limit: i64,
) -> Result<Vec<FindingRow>, Failure> {
    const UPDATED: &str = "coalesce(f.updated_at, f.created_at)";
    let mut query = QueryBuilder::<Postgres>::new(SELECT);
    if let Some(span) = filter.span {
        query.push(" and ").push(UPDATED).push(" >= ").push_bind(span.from);
        query.push(" and ").push(UPDATED).push(" < ").push_bind(span.to);
    }
    let kinds = filter.kinds.iter().map(|kind| kind.name().to_owned()).collect();
    let severities = filter.severities.iter().map(|severity| severity.name().to_owned()).collect();
    let lists: [(&str, Vec<String>); 3] =
        [("f.kind", kinds), ("f.severity", severities), ("f.status", filter.statuses.clone())];
    for (column, words) in lists {
        if !words.is_empty() {
            query.push(" and ").push(column).push(" = any(").push_bind(words).push(")");
        }
    }
    if let Some(sensors) = &filter.sensors {
        query.push(" and f.sensor = any(").push_bind(sensors.clone()).push(")");
    }
    for (column, text) in [("f.rule", &filter.rule), ("f.key", &filter.key)] {
        if let Some(text) = text {
            query.push(" and ").push(column).push(" = ").push_bind(text.clone());
        }
    }
    if let Some(address) = &filter.src_ip {
        query.push(" and (f.sources @> array[").push_bind(address.clone()).push("] or f.key = ");
        query.push_bind(address.clone()).push(")");
    }
    if let Some((at, id)) = filter.after {
        query.push(" and ").push(UPDATED).push(" <= ").push_bind(at);
        query.push(" and (").push(UPDATED).push(" < ").push_bind(at).push(" or f.finding_id > ");
        query.push_bind(id).push(")");
    }
    query.push(" order by ").push(UPDATED).push(" desc, f.finding_id limit ").push_bind(limit);
    Ok(query.build_query_as().fetch_all(on).await?)
}

/// Returns the findings about a key, or of any of these sessions, the last updated first.
pub async fn about(
    on: &mut PgConnection,
    key: &str,
    sessions: &[SessionKey],
    sensors: Option<&[String]>,
    limit: i64,
) -> Result<Vec<FindingRow>, Failure> {
    let (of, ids): (Vec<_>, Vec<_>) = sessions.iter().cloned().unzip();
    let mut query = QueryBuilder::<Postgres>::new(SELECT);
    query.push(" and f.finding_id in (select finding_id from findings where key = ").push_bind(key);
    query.push(" union select finding_id from findings where sources @> array[").push_bind(key);
    query.push("::text] union select s.finding_id from unnest(").push_bind(of).push("::text[], ");
    query.push_bind(ids).push("::text[]) k (sensor, session) join finding_sessions s on s.sensor = k.sensor and s.session = k.session)");
    if let Some(sensors) = sensors {
        query.push(" and f.sensor = any(").push_bind(sensors.to_vec()).push(")");
    }
    query.push(" order by coalesce(f.updated_at, f.created_at) desc, f.finding_id limit ").push_bind(limit);
    Ok(query.build_query_as().fetch_all(on).await?)
}

/// Returns one finding.
pub async fn get(on: &mut PgConnection, id: Uuid) -> Result<Option<FindingRow>, Failure> {
    let mut query = QueryBuilder::<Postgres>::new(SELECT);
    query.push(" and f.finding_id = ").push_bind(id);
    Ok(query.build_query_as().fetch_optional(on).await?)
}

/// Returns the first sessions of a finding.
pub async fn sessions(on: &mut PgConnection, id: Uuid, limit: i64) -> Result<Vec<SessionKey>, Failure> {
    let sessions = sqlx::query_as(
        "select sensor, session from finding_sessions where finding_id = $1 order by position limit $2",
    )
    .bind(id)
    .bind(limit)
    .fetch_all(on)
    .await?;
    Ok(sessions)
}

/// What somebody said about a finding.
#[derive(Clone, PartialEq, Debug, FromRow)]
pub struct TriageRow {
    pub triaged_at: DateTime<Utc>,
    pub triaged_by: String,
    pub status: String,
    pub note: Option<String>,
}

/// Returns what was said about a finding, the last first.
pub async fn triage_of(on: &mut PgConnection, id: Uuid) -> Result<Vec<TriageRow>, Failure> {
    let rows = sqlx::query_as(
        "select triaged_at, triaged_by, status, note from finding_triage where finding_id = $1 order by id desc limit 100",
    )
    .bind(id)
    .fetch_all(on)
    .await?;
    Ok(rows)
}

/// Records what somebody says about a finding. False when there is no such finding.
pub async fn triage(
    on: &mut PgConnection,
    id: Uuid,
    status: &str,
    note: Option<&str>,
    who: &str,
) -> Result<bool, Failure> {
    let done = sqlx::query(
        "with f as (update findings set status = $2, note = $3, triaged_by = $4, triaged_at = clock_timestamp() where finding_id = $1 returning finding_id)
        insert into finding_triage (finding_id, triaged_by, status, note) select finding_id, $4, $2, $3 from f",
    )
    .bind(id)
    .bind(status)
    .bind(note)
    .bind(who)
    .execute(on)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Findings of a kind and severity.
#[derive(Clone, PartialEq, Eq, Debug, FromRow)]
pub struct FindingCount {
    pub kind: String,
    pub severity: String,
    pub findings: i64,
}

/// Returns how many findings were inserted or updated in a range.
pub async fn counts(
    on: &mut PgConnection,
    span: Span,
    sensors: Option<&[String]>,
) -> Result<Vec<FindingCount>, Failure> {
    let counts = sqlx::query_as(
        "select kind, severity, count(*) as findings from findings
        where coalesce(updated_at, created_at) >= $1 and coalesce(updated_at, created_at) < $2 and ($3::text[] is null or sensor = any($3))
        group by 1, 2 order by 1, 2",
    )
    .bind(span.from)
    .bind(span.to)
    .bind(sensors)
    .fetch_all(on)
    .await?;
    Ok(counts)
}
