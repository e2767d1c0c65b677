//! The tables `signal_marks`, `episodes` and `findings`: keys that live events touched, and the findings of
//! live rules.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use events::Dimension;
use findings::{Finding, Rule};
use sqlx::{PgConnection, postgres::types::PgInterval};
use uuid::Uuid;

use crate::{Failure, findings::subject, windows::Measure};

/// Marks evaluated in one transaction.
const MARKS_AT_ONCE: i64 = 500;

/// Marks keys, each with the start of a minute.
pub async fn mark(on: &mut PgConnection, marks: &[(Dimension, &str, DateTime<Utc>)]) -> Result<(), Failure> {
    if marks.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into signal_marks (dimension, keys, minutes)
        select dimension::pane_dimension, array_agg(key), array_agg(minute)
        from unnest($1::text[], $2::text[], $3::timestamptz[]) as m (dimension, key, minute) group by dimension",
        &marks.iter().map(|(dimension, ..)| dimension.name()).collect::<Vec<_>>() as &[&str],
        &marks.iter().map(|(_, key, _)| *key).collect::<Vec<_>>() as &[&str],
        &marks.iter().map(|(.., minute)| *minute).collect::<Vec<_>>(),
    )
    .execute(on)
    .await?;
    Ok(())
}

/// A key that live events touched.
pub type Mark = (Dimension, String, DateTime<Utc>);

/// Takes the oldest marks, without duplicates. They are deleted when the transaction commits.
pub async fn take_marks(on: &mut PgConnection) -> Result<BTreeSet<Mark>, Failure> {
    let rows = sqlx::query!(
        r#"with taken as (delete from signal_marks where id = any(array(select id from signal_marks order by id limit $1)) returning dimension, keys, minutes)
        select distinct dimension::text as "dimension!", k.key as "key!", k.minute as "minute!" from taken, unnest(keys, minutes) as k (key, minute)"#,
        MARKS_AT_ONCE
    )
    .fetch_all(on)
    .await?;
    Ok(rows.into_iter().filter_map(|row| Some((row.dimension.parse().ok()?, row.key, row.minute))).collect())
}

/// Returns the keys whose window, of this length and ending with the key's minute, reaches `at_least` of a
/// measure, each with the value.
pub async fn crossing(
    on: &mut PgConnection,
    dimension: Dimension,
    measure: Measure,
    length: std::time::Duration,
    at_least: i64,
    marks: &[(String, DateTime<Utc>)],
) -> Result<Vec<(String, DateTime<Utc>, i64)>, Failure> {
    let (keys, minutes): (Vec<&str>, Vec<DateTime<Utc>>) =
        marks.iter().map(|(key, minute)| (key.as_str(), *minute)).unzip();
    let length = PgInterval::try_from(length)
        .map_err(|error| Failure::Reject(anyhow::anyhow!("a window of {length:?}: {error}")))?;
    let rows = sqlx::query!(
        r#"select k.key as "key!", k.minute as "minute!", w.value as "value!"
        from unnest($1::text[], $2::timestamptz[]) as k (key, minute)
        cross join lateral (
            select sum(case $3 when 'sessions' then p.sessions when 'logins_failed' then p.logins_failed when 'logins_succeeded' then p.logins_succeeded
                when 'commands' then p.commands when 'downloads' then p.downloads when 'bytes' then p.bytes else p.events end)::bigint as value
            from window_panes($4::text::pane_dimension, k.key, k.minute + interval '1 minute' - $5::interval, k.minute + interval '1 minute') p
        ) w
        where w.value >= $6"#,
        &keys as &[&str],
        &minutes,
        measure.name(),
        dimension.name(),
        length,
        at_least,
    )
    .fetch_all(on)
    .await?;
    Ok(rows.into_iter().map(|row| (row.key, row.minute, row.value)).collect())
}

/// Prolongs the open episode of a rule and key. Returns whether there is an episode, open or closed, that
/// covers this minute.
pub async fn prolong_episode(
    on: &mut PgConnection,
    rule: &str,
    key: &str,
    minute: DateTime<Utc>,
) -> Result<bool, Failure> {
    let prolonged = sqlx::query!(
        "with open as (update episodes set last_at = greatest(last_at, $3) where rule = $1 and key = $2 and closed_at is null returning 1)
        select exists (select from open) or exists (select from episodes where rule = $1 and key = $2 and $3 between opened_at and closed_at) as \"there!\"",
        rule,
        key,
        minute,
    )
    .fetch_one(on)
    .await?;
    Ok(prolonged.there)
}

/// Opens an episode with its finding, and queues the finding for FINDINGS. Fails when the rule has an open
/// episode of the key, or when the finding is not of a live rule.
pub async fn open_episode(
    on: &mut PgConnection,
    finding: &Finding,
    found_at: DateTime<Utc>,
) -> Result<(), Failure> {
    let Rule::Live { name: rule, dimension } = &finding.rule else {
        return Err(Failure::Reject(anyhow::anyhow!("{} is not a live rule", finding.rule.name())));
    };
    let id = Uuid::new_v4();
    sqlx::query!(
        "insert into findings (finding_id, kind, severity, rule, title, sensor, dimension, key, found_at, evidence)
        values ($1, 'signal', $2, $3, $4, $5, $6::text::pane_dimension, $7, $8, $9::text::jsonb)",
        id,
        finding.severity.name(),
        rule,
        finding.title,
        finding.sensor.as_deref(),
        dimension.name(),
        finding.key,
        found_at,
        finding.evidence.to_string(),
    )
    .execute(&mut *on)
    .await?;
    sqlx::query!(
        "insert into episodes (rule, key, opened_at, last_at, finding_id) values ($1, $2, $3, $3, $4)",
        rule,
        finding.key,
        found_at,
        id
    )
    .execute(&mut *on)
    .await?;
    sqlx::query!(
        "insert into outbox (subject, msg_id, payload) values ($1, $2, $3::text::json)",
        subject(finding),
        finding.message_id(id, 1),
        finding.message(id, 1, found_at).to_string(),
    )
    .execute(on)
    .await?;
    Ok(())
}

/// Ends the episodes of a rule that were last seen before `before`.
pub async fn end_episodes(on: &mut PgConnection, rule: &str, before: DateTime<Utc>) -> Result<u64, Failure> {
    let done = sqlx::query!(
        "update episodes set closed_at = last_at where rule = $1 and closed_at is null and last_at < $2",
        rule,
        before
    )
    .execute(on)
    .await?;
    Ok(done.rows_affected())
}

/// Ends the open episode of a rule for one key.
pub async fn end_episodes_of(on: &mut PgConnection, rule: &str, key: &str) -> Result<u64, Failure> {
    let done = sqlx::query!(
        "update episodes set closed_at = last_at where rule = $1 and key = $2 and closed_at is null",
        rule,
        key
    )
    .execute(on)
    .await?;
    Ok(done.rows_affected())
}

/// Returns the sensors with the time at which their last live event was committed. Sensors that never had one
/// are left out.
pub async fn live_sensors(on: &mut PgConnection) -> Result<Vec<(String, DateTime<Utc>)>, Failure> {
    let rows =
        sqlx::query!(r#"select sensor, last_live_at as "last_live_at!" from deliveries where last_live_at is not null order by sensor"#).fetch_all(on).await?;
    Ok(rows.into_iter().map(|row| (row.sensor, row.last_live_at)).collect())
}

/// Returns the time of the oldest event.
pub async fn first_event(on: &mut PgConnection) -> Result<Option<DateTime<Utc>>, Failure> {
    Ok(sqlx::query_scalar!("select min(first_event_at) from sensors").fetch_one(on).await?)
}
