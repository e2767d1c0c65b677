//! Totals of a range, and of each step of it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection, postgres::types::PgInterval};

use super::Over;
use crate::{Failure, windows::Window};

/// Returns what the range adds up to. Distinct counts are exact below [`events::SKETCH_SIZE`].
pub async fn totals(on: &mut PgConnection, over: &Over) -> Result<Window, Failure> {
    let (dimension, keys) = over.panes();
    of_keys(on, dimension, &keys, over).await
}

/// Returns what the range adds up to for these keys of a dimension together.
pub(super) async fn of_keys(
    on: &mut PgConnection,
    dimension: &str,
    keys: &[String],
    over: &Over,
) -> Result<Window, Failure> {
    let window = sqlx::query_as(
        "with b as materialized (select * from window_bounds($4 - $3, $4)),
        p as materialized (
            select p.* from b, unnest($2::text[]) k (key), lateral window_panes($1::text::pane_dimension, pane_key(k.key), b.from_at, b.to_at) p
        )
        select b.from_at, b.to_at, b.grain::text, s.*,
            case when $1 = 'src_ip' then s.keys else (select sketch_estimate(count(*), max(h)) from (select distinct h from p, unnest(p.src_ips) h order by h limit 1024) d) end as distinct_src_ips,
            case when $1 = 'sensor' then s.keys else (select sketch_estimate(count(*), max(h)) from (select distinct h from p, unnest(p.sensors) h order by h limit 1024) d) end as distinct_sensors,
            (select sketch_estimate(count(*), max(h)) from (select distinct h from p, unnest(p.session_ids) h order by h limit 1024) d) as distinct_sessions,
            case when $1 = 'credential' then s.keys else (select sketch_estimate(count(*), max(h)) from (select distinct h from p, unnest(p.credentials) h order by h limit 1024) d) end as distinct_credentials
        from b, lateral (
            select count(distinct key) as keys, coalesce(sum(events), 0)::bigint as events, coalesce(sum(sessions), 0)::bigint as sessions,
                coalesce(sum(logins_failed), 0)::bigint as logins_failed, coalesce(sum(logins_succeeded), 0)::bigint as logins_succeeded,
                coalesce(sum(commands), 0)::bigint as commands, coalesce(sum(downloads), 0)::bigint as downloads, coalesce(sum(bytes), 0)::bigint as bytes,
                min(first_seen) as first_seen, max(last_seen) as last_seen
            from p
        ) s",
    )
    .bind(dimension)
    .bind(keys)
    .bind(over.span.from)
    .bind(over.span.to)
    .fetch_one(on)
    .await?;
    Ok(window)
}

/// Figures of one step of a range, without distinct counts.
#[derive(Clone, PartialEq, Debug, FromRow)]
pub struct Step {
    pub from_at: DateTime<Utc>,
    pub to_at: DateTime<Utc>,
    pub events: i64,
    pub sessions: i64,
    pub logins_failed: i64,
    pub logins_succeeded: i64,
    pub commands: i64,
    pub downloads: i64,
    pub bytes: i64,
}

/// Returns the steps of the range, oldest first. The last one is shorter where the range is no multiple.
pub async fn timeline(on: &mut PgConnection, over: &Over, step: Duration) -> Result<Vec<Step>, Failure> {
    let (dimension, keys) = over.panes();
    steps_of_keys(on, dimension, &keys, over, step).await
}

/// Returns the steps of the range for these keys of a dimension together.
pub async fn steps_of_keys(
    on: &mut PgConnection,
    dimension: &str,
    keys: &[String],
    over: &Over,
    step: Duration,
) -> Result<Vec<Step>, Failure> {
    let step = PgInterval::try_from(step)
        .map_err(|error| Failure::Reject(anyhow::anyhow!("a step of {step:?}: {error}")))?;
    let steps = sqlx::query_as(
        "select t.from_at, least(t.from_at + $5, $4) as to_at, s.*
        from generate_series($3, $4 - interval '1 microsecond', $5) t (from_at), lateral (
            select coalesce(sum(events), 0)::bigint as events, coalesce(sum(sessions), 0)::bigint as sessions,
                coalesce(sum(logins_failed), 0)::bigint as logins_failed, coalesce(sum(logins_succeeded), 0)::bigint as logins_succeeded,
                coalesce(sum(commands), 0)::bigint as commands, coalesce(sum(downloads), 0)::bigint as downloads, coalesce(sum(bytes), 0)::bigint as bytes
            from unnest($2::text[]) k (key),
                lateral window_panes($1::text::pane_dimension, pane_key(k.key), t.from_at, least(t.from_at + $5, $4)) p
        ) s order by t.from_at",
    )
    .bind(dimension)
    .bind(keys)
    .bind(over.span.from)
    .bind(over.span.to)
    .bind(step)
    .fetch_all(on)
    .await?;
    Ok(steps)
}
