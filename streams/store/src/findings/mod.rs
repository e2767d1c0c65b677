//! The tables `findings` and `finding_sessions`: written by analyses, read by people.

pub mod signals;

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use findings::{Finding, Kind, Severity};
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{Failure, SessionKey};

/// Findings written by one statement.
const AT_ONCE: usize = 200;
/// Most sessions stored with a finding.
const MOST_SESSIONS: usize = 10_000;
/// Most known campaigns that an analysis receives, the most recently seen first.
const MOST_KNOWN: i64 = 5_000;

/// Number of findings that an upsert wrote.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Upserted {
    pub new: u64,
    /// Found again with different content: a new revision.
    pub updated: u64,
    /// Found again with the same content: nothing was written.
    pub unchanged: u64,
}

/// Inserts or updates findings, and queues new and changed ones for FINDINGS.
pub async fn upsert(
    on: &mut PgConnection,
    job_id: Option<Uuid>,
    findings: &[Finding],
) -> Result<Upserted, Failure> {
    // Sorted by id, so that two runs cannot deadlock. Of two findings with the same id, the first one is
    // used.
    let mut sorted: Vec<(Uuid, &Finding)> = findings.iter().map(|finding| (finding.id(), finding)).collect();
    sorted.sort_by_key(|(id, _)| *id);
    sorted.dedup_by_key(|(id, _)| *id);
    let mut all = Upserted::default();
    for some in sorted.chunks(AT_ONCE) {
        let kept = keep(on, job_id, some).await?;
        let new = kept.iter().filter(|kept| kept.revision == 1).count() as u64;
        all.new += new;
        all.updated += kept.len() as u64 - new;
        all.unchanged += (some.len() - kept.len()) as u64;
        let by_id: HashMap<_, _> = some.iter().copied().collect();
        let changed: Vec<_> =
            kept.iter().filter_map(|kept| Some((kept, *by_id.get(&kept.finding_id)?))).collect();
        link(on, &changed).await?;
        queue(on, &changed).await?;
    }
    Ok(all)
}

struct Kept {
    finding_id: Uuid,
    revision: i32,
    found_at: DateTime<Utc>,
}

async fn keep(
    on: &mut PgConnection,
    job_id: Option<Uuid>,
    some: &[(Uuid, &Finding)],
) -> Result<Vec<Kept>, Failure> {
    let hex = |hash: [u8; 32]| hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let row = |(id, finding): &(Uuid, &Finding)| {
        json!({
            "finding_id": id, "kind": finding.kind, "severity": finding.severity, "rule": finding.rule.name(), "title": finding.title, "sensor": finding.sensor,
            "key": finding.key, "evidence": finding.evidence, "confidence": finding.finite_confidence(), "first_seen": finding.first_seen(),
            "last_seen": finding.last_seen(), "sources": finding.sources, "content": hex(finding.revision_hash()),
        })
    };
    let rows = some.iter().map(row).collect();
    let kept = sqlx::query_as!(
        Kept,
        "insert into findings as f (finding_id, kind, severity, rule, title, sensor, key, found_at, evidence, confidence, first_seen, last_seen, updated_at,
            job_id, sources, content)
        select finding_id, kind, severity, rule, title, sensor, key, clock_timestamp(), evidence, confidence, first_seen, last_seen, clock_timestamp(),
            $2, array(select jsonb_array_elements_text(sources)), decode(content, 'hex')
        from jsonb_to_recordset($1) as r (finding_id uuid, kind text, severity text, rule text, title text, sensor text, key text, evidence jsonb,
            confidence real, first_seen timestamptz, last_seen timestamptz, sources jsonb, content text)
        order by finding_id
        on conflict (finding_id) do update set severity = excluded.severity, title = excluded.title, sensor = excluded.sensor, evidence = excluded.evidence,
            confidence = excluded.confidence, first_seen = excluded.first_seen, last_seen = excluded.last_seen, updated_at = excluded.updated_at,
            job_id = excluded.job_id, sources = excluded.sources, content = excluded.content, revision = f.revision + 1
        where f.content is distinct from excluded.content
        returning finding_id, revision, found_at",
        Value::Array(rows),
        job_id,
    )
    .fetch_all(on)
    .await?;
    Ok(kept)
}

async fn link(on: &mut PgConnection, changed: &[(&Kept, &Finding)]) -> Result<(), Failure> {
    let ids: Vec<_> = changed.iter().map(|(kept, _)| kept.finding_id).collect();
    sqlx::query!("delete from finding_sessions where finding_id = any($1)", &ids).execute(&mut *on).await?;
    for (kept, finding) in changed {
        let sessions = &finding.sessions[..finding.sessions.len().min(MOST_SESSIONS)];
        let (sensors, sessions): (Vec<&str>, Vec<&str>) =
            sessions.iter().map(|(sensor, session)| (sensor.as_str(), session.as_str())).unzip();
        sqlx::query!(
            "insert into finding_sessions (finding_id, position, sensor, session)
            select $1, n, sensor, session from unnest($2::text[], $3::text[]) with ordinality as k (sensor, session, n)",
            kept.finding_id,
            &sensors as &[&str],
            &sessions as &[&str],
        )
        .execute(&mut *on)
        .await?;
    }
    Ok(())
}

/// Returns the subject on which a finding is published.
pub(crate) fn subject(finding: &Finding) -> String {
    format!("cowrie.findings.{}", finding.subject_tokens().join("."))
}

async fn queue(on: &mut PgConnection, changed: &[(&Kept, &Finding)]) -> Result<(), Failure> {
    let (mut subjects, mut ids, mut payloads) = (Vec::new(), Vec::new(), Vec::new());
    for (kept, finding) in changed {
        subjects.push(subject(finding));
        ids.push(finding.message_id(kept.finding_id, kept.revision));
        payloads.push(finding.message(kept.finding_id, kept.revision, kept.found_at).to_string());
    }
    sqlx::query!(
        "insert into outbox (subject, msg_id, payload)
        select subject, msg_id, payload::jsonb from unnest($1::text[], $2::text[], $3::text[]) as q (subject, msg_id, payload)
        on conflict (msg_id) do nothing",
        &subjects,
        &ids,
        &payloads,
    )
    .execute(on)
    .await?;
    Ok(())
}

/// A campaign that an earlier run found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KnownCampaign {
    pub key: String,
    pub sources: Vec<String>,
    /// What its members have in common.
    pub indicators: Vec<String>,
}

/// Returns the campaigns of a kind that were seen since `since`, the most recently seen first.
pub async fn known_campaigns(
    on: &mut PgConnection,
    kind: Kind,
    since: DateTime<Utc>,
) -> Result<Vec<KnownCampaign>, Failure> {
    let known = sqlx::query_as!(
        KnownCampaign,
        r#"select key, coalesce(sources, '{}') as "sources!",
            array(select jsonb_array_elements_text(case when jsonb_typeof(evidence -> 'indicators') = 'array' then evidence -> 'indicators' end)) as "indicators!"
        from findings where kind = $1 and rule = 'campaign' and last_seen >= $2 order by last_seen desc, finding_id limit $3"#,
        kind.name(),
        since,
        MOST_KNOWN,
    )
    .fetch_all(on)
    .await?;
    Ok(known)
}

#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct StoredFinding {
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
}

/// Selects the findings to list.
#[derive(Clone, Debug, Default)]
pub struct FindingFilter {
    /// Empty: all.
    pub kinds: Vec<Kind>,
    /// Empty: all.
    pub severities: Vec<Severity>,
    /// Inserted or updated since then.
    pub since: Option<DateTime<Utc>>,
}

pub async fn list(
    on: &mut PgConnection,
    filter: &FindingFilter,
    limit: i64,
) -> Result<Vec<StoredFinding>, Failure> {
    let kinds: Vec<_> = filter.kinds.iter().map(|kind| kind.name().to_owned()).collect();
    let severities: Vec<_> = filter.severities.iter().map(|severity| severity.name().to_owned()).collect();
    let found = sqlx::query_as!(
        StoredFinding,
        r#"select f.finding_id, revision, kind, severity, rule, title, sensor, dimension::text, key, found_at,
            coalesce(updated_at, created_at) as "updated_at!", confidence, first_seen, last_seen, job_id, evidence, coalesce(sources, '{}') as "sources!",
            (select count(*) from finding_sessions s where s.finding_id = f.finding_id) as "session_count!"
        from findings f
        where (cardinality($1::text[]) = 0 or kind = any($1)) and (cardinality($2::text[]) = 0 or severity = any($2))
            and ($3::timestamptz is null or coalesce(updated_at, created_at) >= $3)
        order by coalesce(updated_at, created_at) desc, f.finding_id limit $4"#,
        &kinds,
        &severities,
        filter.since,
        limit,
    )
    .fetch_all(on)
    .await?;
    Ok(found)
}

/// Returns findings whose id begins with a prefix, each with its first sessions. At most two: the caller
/// needs to know whether there is exactly one.
pub async fn starting_with(
    on: &mut PgConnection,
    beginning: &str,
    sessions: i64,
) -> Result<Vec<(StoredFinding, Vec<SessionKey>)>, Failure> {
    let found = sqlx::query_as!(
        StoredFinding,
        r#"select f.finding_id, revision, kind, severity, rule, title, sensor, dimension::text, key, found_at,
            coalesce(updated_at, created_at) as "updated_at!", confidence, first_seen, last_seen, job_id, evidence, coalesce(sources, '{}') as "sources!",
            (select count(*) from finding_sessions s where s.finding_id = f.finding_id) as "session_count!"
        from findings f where starts_with(f.finding_id::text, lower($1)) order by f.finding_id limit 2"#,
        beginning,
    )
    .fetch_all(&mut *on)
    .await?;
    let mut all = Vec::new();
    for finding in found {
        let of = sqlx::query!(
            "select sensor, session from finding_sessions where finding_id = $1 order by position limit $2",
            finding.finding_id,
            sessions
        )
        .fetch_all(&mut *on)
        .await?;
        all.push((finding, of.into_iter().map(|row| (row.sensor, row.session)).collect()));
    }
    Ok(all)
}
