//! The keys of a dimension with most of a measure.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use events::{Dimension, normal::normalise};
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder};

use super::{Over, Span};
use crate::{Failure, windows::Measure};

/// Most distinct commands of single sensors that are added up.
const MOST_COMMANDS: i64 = 50_000;

/// What a range adds up to for one key.
#[derive(Clone, PartialEq, Debug, FromRow)]
pub struct Ranked {
    pub key: String,
    pub events: i64,
    pub sessions: i64,
    pub logins_failed: i64,
    pub logins_succeeded: i64,
    pub commands: i64,
    pub downloads: i64,
    pub first_seen: Option<DateTime<Utc>>,
    pub last_seen: Option<DateTime<Utc>>,
    /// Number of keys that have any of the measure.
    pub total: i64,
}

/// Returns the `limit` keys with most of a measure that adds up; equals in the order of the key.
pub async fn top(
    on: &mut PgConnection,
    dimension: Dimension,
    measure: Measure,
    span: Span,
    limit: u32,
) -> Result<Vec<Ranked>, Failure> {
    let column = match measure {
        Measure::Sessions => "sessions",
        Measure::LoginsFailed => "logins_failed",
        Measure::LoginsSucceeded => "logins_succeeded",
        Measure::Commands => "commands",
        Measure::Downloads => "downloads",
        Measure::Bytes => "bytes",
        _ => "events",
    };
    let mut query = QueryBuilder::<Postgres>::new(
        "select p.key, sum(p.events)::bigint as events, sum(p.sessions)::bigint as sessions, sum(p.logins_failed)::bigint as logins_failed,
            sum(p.logins_succeeded)::bigint as logins_succeeded, sum(p.commands)::bigint as commands, sum(p.downloads)::bigint as downloads,
            min(p.first_seen) as first_seen, max(p.last_seen) as last_seen, count(*) over () as total
        from window_bounds(",
    );
    query.push_bind(span.to).push(" - ").push_bind(span.from).push("::timestamptz, ").push_bind(span.to);
    query.push(") b, lateral window_panes(").push_bind(dimension.name());
    query.push("::text::pane_dimension, b.from_at, b.to_at) p group by p.key having sum(p.");
    query.push(column).push(") > 0 order by sum(p.").push(column).push(") desc, p.key limit ");
    query.push_bind(i64::from(limit));
    Ok(query.build_query_as().fetch_all(on).await?)
}

/// The same of single sensors, for which there are no panes by key: from sessions and side tables. The figures
/// of an address are those of its sessions that began in the range.
pub async fn top_of_sensors(
    on: &mut PgConnection,
    dimension: Dimension,
    over: &Over,
    limit: u32,
) -> Result<Vec<Ranked>, Failure> {
    const OF_LOGINS: &str = "count(*) as events, 0::bigint as sessions, count(*) filter (where not success) as logins_failed,
        count(*) filter (where success) as logins_succeeded, 0::bigint as commands, 0::bigint as downloads, min(ts) as first_seen, max(ts) as last_seen
        from login_attempts where ts >= $1 and ts < $2 and sensor = any($3)";
    const OF_SESSIONS: &str = "sum(event_count)::bigint as events, count(*) as sessions, sum(login_attempts - login_successes)::bigint as logins_failed,
        sum(login_successes)::bigint as logins_succeeded, sum(command_count)::bigint as commands, sum(download_count)::bigint as downloads,
        min(started_at) as first_seen, max(last_event_at) as last_seen
        from sessions where started_at >= $1 and started_at < $2 and sensor = any($3)";
    const OF_FILES: &str = "count(*) as events, 0::bigint as sessions, 0::bigint as logins_failed, 0::bigint as logins_succeeded, 0::bigint as commands,
        count(*) filter (where kind = 'download') as downloads, min(ts) as first_seen, max(ts) as last_seen
        from downloads where kind <> 'failed' and ts >= $1 and ts < $2 and sensor = any($3)";
    const OF_CLIENTS: &str = "count(*) as events, 0::bigint as sessions, 0::bigint as logins_failed, 0::bigint as logins_succeeded, 0::bigint as commands,
        0::bigint as downloads, min(ts) as first_seen, max(ts) as last_seen
        from client_fingerprints where ts >= $1 and ts < $2 and sensor = any($3)";
    let (key, figures) = match dimension {
        Dimension::SrcIp => ("host(src_ip)", OF_SESSIONS),
        Dimension::SrcNet => (
            "text(network(set_masklen(src_ip, case family(src_ip) when 4 then 24 else 48 end)))",
            OF_SESSIONS,
        ),
        Dimension::Username => ("pane_key(username)", OF_LOGINS),
        Dimension::Password => ("pane_key(password)", OF_LOGINS),
        Dimension::Credential => ("pane_key(credential_key(username, password))", OF_LOGINS),
        Dimension::Download => ("nullif(shasum, '')", OF_FILES),
        Dimension::Hassh => ("case when kind = 'kex' then nullif(hassh, '') end", OF_CLIENTS),
        Dimension::ClientVersion => ("case when kind = 'version' then pane_key(version) end", OF_CLIENTS),
        Dimension::Command => return top_commands(on, over, limit).await,
        Dimension::All | Dimension::Sensor | Dimension::Eventid | Dimension::Forward => {
            return Err(Failure::Reject(anyhow::anyhow!("no figures of {} by sensor", dimension.name())));
        }
    };
    let mut query = QueryBuilder::<Postgres>::new("select q.*, count(*) over () as total from (select ");
    query.push(key).push(" as key, ").push(figures).push(" group by 1) q where key is not null");
    query.push(if matches!(dimension, Dimension::SrcIp | Dimension::SrcNet) {
        " order by sessions desc, key limit $4"
    } else {
        " order by events desc, key limit $4"
    });
    let ranked = sqlx::query_as(sqlx::AssertSqlSafe(query.into_string()))
        .bind(over.span.from)
        .bind(over.span.to)
        .bind(over.sensors.as_deref().unwrap_or_default())
        .bind(i64::from(limit))
        .fetch_all(on)
        .await?;
    Ok(ranked)
}

#[derive(FromRow)]
struct Typed {
    input: String,
    times: i64,
    first_seen: DateTime<Utc>,
    last_seen: DateTime<Utc>,
}

/// Only Rust normalises commands.
async fn top_commands(on: &mut PgConnection, over: &Over, limit: u32) -> Result<Vec<Ranked>, Failure> {
    let typed: Vec<Typed> = sqlx::query_as(
        "select input, count(*) as times, min(ts) as first_seen, max(ts) as last_seen
        from commands where kind = 'input' and input is not null and ts >= $1 and ts < $2 and sensor = any($3)
        group by input order by times desc, input limit $4",
    )
    .bind(over.span.from)
    .bind(over.span.to)
    .bind(over.sensors.as_deref().unwrap_or_default())
    .bind(MOST_COMMANDS)
    .fetch_all(on)
    .await?;
    let mut by_key: HashMap<String, Ranked> = HashMap::new();
    for Typed { input, times, first_seen, last_seen } in typed {
        let key = events::bounded(&normalise(&input)).into_owned();
        let ranked = by_key.entry(key.clone()).or_insert_with(|| Ranked {
            key,
            events: 0,
            sessions: 0,
            logins_failed: 0,
            logins_succeeded: 0,
            commands: 0,
            downloads: 0,
            first_seen: None,
            last_seen: None,
            total: 0,
        });
        ranked.events += times;
        ranked.commands += times;
        ranked.first_seen = Some(ranked.first_seen.map_or(first_seen, |seen| seen.min(first_seen)));
        ranked.last_seen = ranked.last_seen.max(Some(last_seen));
    }
    let total = by_key.len().try_into().unwrap_or(i64::MAX);
    let mut ranked: Vec<_> = by_key.into_values().map(|one| Ranked { total, ..one }).collect();
    ranked.sort_by(|one, other| other.events.cmp(&one.events).then_with(|| one.key.cmp(&other.key)));
    ranked.truncate(limit as usize);
    Ok(ranked)
}

/// A URL that files came from.
#[derive(Clone, PartialEq, Debug, FromRow)]
pub struct UrlRow {
    pub url: String,
    pub files: i64,
    pub events: i64,
    pub first_seen: DateTime<Utc>,
    pub last_seen: DateTime<Utc>,
}

/// Returns the URLs that most downloads named.
pub async fn urls(on: &mut PgConnection, over: &Over, limit: u32) -> Result<Vec<UrlRow>, Failure> {
    let urls = sqlx::query_as(
        "select url, count(distinct shasum) as files, count(*) as events, min(ts) as first_seen, max(ts) as last_seen
        from downloads where url is not null and ts >= $1 and ts < $2 and ($3::text[] is null or sensor = any($3))
        group by url order by events desc, url limit $4",
    )
    .bind(over.span.from)
    .bind(over.span.to)
    .bind(over.sensors.as_deref())
    .bind(i64::from(limit))
    .fetch_all(on)
    .await?;
    Ok(urls)
}

/// Files that came in, by how.
#[derive(Clone, PartialEq, Debug, FromRow)]
pub struct FileCounts {
    pub downloads: i64,
    pub uploads: i64,
    pub failed: i64,
    pub distinct_files: i64,
    pub distinct_urls: i64,
}

/// Returns how many files came in.
pub async fn files(on: &mut PgConnection, over: &Over) -> Result<FileCounts, Failure> {
    let counts = sqlx::query_as(
        "select count(*) filter (where kind = 'download') as downloads, count(*) filter (where kind = 'upload') as uploads,
            count(*) filter (where kind = 'failed') as failed, count(distinct nullif(shasum, '')) as distinct_files, count(distinct url) as distinct_urls
        from downloads where ts >= $1 and ts < $2 and ($3::text[] is null or sensor = any($3))",
    )
    .bind(over.span.from)
    .bind(over.span.to)
    .bind(over.sensors.as_deref())
    .fetch_one(on)
    .await?;
    Ok(counts)
}

/// An SSH public key that clients offered.
#[derive(Clone, PartialEq, Debug, FromRow)]
pub struct KeyRow {
    pub fingerprint: String,
    pub key_type: Option<String>,
    pub events: i64,
    pub first_seen: DateTime<Utc>,
    pub last_seen: DateTime<Utc>,
}

/// Returns the public keys that were offered most.
pub async fn keys(on: &mut PgConnection, over: &Over, limit: u32) -> Result<Vec<KeyRow>, Failure> {
    let keys = sqlx::query_as(
        "select fingerprint, min(key_type) as key_type, count(*) as events, min(ts) as first_seen, max(ts) as last_seen
        from client_fingerprints where kind = 'key' and fingerprint is not null and ts >= $1 and ts < $2 and ($3::text[] is null or sensor = any($3))
        group by fingerprint order by events desc, fingerprint limit $4",
    )
    .bind(over.span.from)
    .bind(over.span.to)
    .bind(over.sensors.as_deref())
    .bind(i64::from(limit))
    .fetch_all(on)
    .await?;
    Ok(keys)
}
