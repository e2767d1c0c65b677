//! The tables `longtail_parts`, `longtail_models` and `longtail_scores`: what longtail caches between runs.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{Failure, SessionKey, analyses::DataRange};

/// Most parts kept of a scope: those computed last. Enough for two windows of a year and for days that were
/// computed again.
const MOST_PARTS: i64 = 800;
/// Most models kept of a scope: those used last.
const MOST_MODELS: i64 = 8;

/// A cached part of a whole UTC day.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct LongtailPart {
    /// The start of the day.
    pub from_at: DateTime<Utc>,
    /// [`crate::DayDigest::digest`] before the part was computed.
    pub digest: Vec<u8>,
    /// Number of sessions in the part.
    pub sessions: i64,
    pub part: Vec<u8>,
}

/// A scope: a sensor, or '' for all sensors.
fn scope(range: &DataRange) -> &str {
    range.sensor.as_deref().unwrap_or_default()
}

/// Returns the cached parts of the days within a range.
pub async fn parts(
    on: &mut PgConnection,
    range: &DataRange,
    version: i16,
) -> Result<Vec<LongtailPart>, Failure> {
    let parts = sqlx::query_as!(
        LongtailPart,
        "select from_at, digest, sessions, part from longtail_parts where scope = $1 and version = $2 and from_at >= $3 and to_at <= $4 order by from_at",
        scope(range),
        version,
        range.from,
        range.to,
    )
    .fetch_all(on)
    .await?;
    Ok(parts)
}

/// Stores the part of a day, and replaces an earlier one.
pub async fn put_part(
    on: &mut PgConnection,
    range: &DataRange,
    version: i16,
    part: &LongtailPart,
) -> Result<(), Failure> {
    sqlx::query!(
        "insert into longtail_parts (scope, from_at, to_at, version, digest, sessions, part) values ($1, $2, $2::timestamptz + interval '1 day', $3, $4, $5, $6)
        on conflict (scope, from_at, to_at) do update set version = excluded.version, digest = excluded.digest, sessions = excluded.sessions,
            part = excluded.part, computed_at = excluded.computed_at",
        scope(range),
        part.from_at,
        version,
        part.digest,
        part.sessions,
        part.part,
    )
    .execute(on)
    .await?;
    Ok(())
}

/// Returns the cached models, the most recently used first.
pub async fn models(on: &mut PgConnection, range: &DataRange, version: i16) -> Result<Vec<Vec<u8>>, Failure> {
    let models = sqlx::query_scalar!(
        "select model from longtail_models where scope = $1 and version = $2 order by last_used_at desc, id limit $3",
        scope(range),
        version,
        MOST_MODELS
    )
    .fetch_all(on)
    .await?;
    Ok(models)
}

/// Stores a model, or marks an existing one as used.
pub async fn put_model(
    on: &mut PgConnection,
    range: &DataRange,
    version: i16,
    id: &str,
    model: &[u8],
) -> Result<(), Failure> {
    sqlx::query!(
        "insert into longtail_models (scope, id, version, model) values ($1, $2, $3, $4)
        on conflict (scope, id) do update set version = excluded.version, model = excluded.model, last_used_at = clock_timestamp()",
        scope(range),
        id,
        version,
        model,
    )
    .execute(on)
    .await?;
    Ok(())
}

/// Replaces the scores of a range.
pub async fn replace_scores(
    on: &mut PgConnection,
    range: &DataRange,
    job_id: Option<Uuid>,
    threshold: f64,
    scores: &[(SessionKey, f64)],
) -> Result<(), Failure> {
    sqlx::query!(
        "delete from longtail_scores where started_at >= $1 and started_at < $2 and ($3::text is null or sensor = $3)",
        range.from,
        range.to,
        range.sensor
    )
    .execute(&mut *on)
    .await?;
    let (sensors, sessions): (Vec<&str>, Vec<&str>) =
        scores.iter().map(|((sensor, session), _)| (sensor.as_str(), session.as_str())).unzip();
    sqlx::query!(
        "insert into longtail_scores (sensor, session, started_at, score, threshold, job_id)
        select k.sensor, k.session, s.started_at, k.score, $4, $5
        from unnest($1::text[], $2::text[], $3::float4[]) as k (sensor, session, score)
        join sessions s on s.sensor = k.sensor and s.session = k.session where s.started_at is not null
        order by k.sensor, k.session
        on conflict (sensor, session) do update set started_at = excluded.started_at, score = excluded.score, threshold = excluded.threshold,
            job_id = excluded.job_id, analysed_at = excluded.analysed_at",
        &sensors as &[&str],
        &sessions as &[&str],
        &scores.iter().map(|(_, score)| *score as f32).collect::<Vec<_>>(),
        threshold as f32,
        job_id,
    )
    .execute(on)
    .await?;
    Ok(())
}

/// Deletes parts and models beyond the limits of a scope.
pub async fn forget(on: &mut PgConnection, range: &DataRange) -> Result<(), Failure> {
    sqlx::query!(
        "delete from longtail_parts p using (select from_at, to_at from longtail_parts where scope = $1 order by computed_at desc, from_at desc offset $2) old
        where p.scope = $1 and p.from_at = old.from_at and p.to_at = old.to_at",
        scope(range),
        MOST_PARTS,
    )
    .execute(&mut *on)
    .await?;
    sqlx::query!(
        "delete from longtail_models where scope = $1 and id in (select id from longtail_models where scope = $1 order by last_used_at desc, id offset $2)",
        scope(range),
        MOST_MODELS,
    )
    .execute(on)
    .await?;
    Ok(())
}
