//! One thing: the sessions that it was seen in, and what else these had.

use std::{collections::HashSet, net::IpAddr};

use chrono::{DateTime, Utc};
use events::{Dimension, normal::normalise};
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder};

use super::{Over, Span, sessions::SessionFilter, totals};
use crate::{Failure, SessionKey, windows::Window};

/// Most minutes, the newest first, in which sessions of a thing are looked for.
const MOST_MINUTES: i64 = 60;
/// Most sessions whose other things are related.
pub const MOST_SESSIONS: usize = 200;

/// Returns what the range adds up to for a key.
pub async fn figures(
    on: &mut PgConnection,
    dimension: Dimension,
    key: &str,
    over: &Over,
) -> Result<Window, Failure> {
    totals::of_keys(on, dimension.name(), &[key.to_owned()], over).await
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, FromRow)]
pub struct Seen {
    pub first_seen: Option<DateTime<Utc>>,
    pub last_seen: Option<DateTime<Utc>>,
}

/// Returns when a key was first and last seen, at any time.
pub async fn seen(on: &mut PgConnection, dimension: Dimension, key: &str) -> Result<Seen, Failure> {
    let seen = sqlx::query_as(
        "select min(first_seen) as first_seen, max(last_seen) as last_seen
        from window_panes($1::text::pane_dimension, pane_key($2), '2015-01-01 00:00:00+00', '2100-01-01 00:00:00+00')",
    )
    .bind(dimension.name())
    .bind(key)
    .fetch_one(on)
    .await?;
    Ok(seen)
}

/// Returns the newest sessions of these addresses.
pub async fn sessions_of_addresses(
    on: &mut PgConnection,
    addresses: (IpAddr, IpAddr),
    over: &Over,
) -> Result<Vec<SessionKey>, Failure> {
    let filter = SessionFilter { addresses: Some(addresses), ..SessionFilter::of(over.clone()) };
    let limit = MOST_SESSIONS.try_into().unwrap_or(i64::MAX);
    let rows = super::sessions::list(on, &filter, limit).await?;
    Ok(rows.into_iter().map(|row| (row.sensor, row.session)).collect())
}

#[derive(FromRow)]
struct Found {
    sensor: String,
    session: String,
    text: Option<String>,
}

/// Returns sessions in which a key was seen, from the newest minutes of the range that have it. The panes say
/// in which minutes to look.
pub async fn sessions_of_key(
    on: &mut PgConnection,
    dimension: Dimension,
    key: &str,
    span: Span,
) -> Result<Vec<SessionKey>, Failure> {
    let rows = match dimension {
        Dimension::Username => "select sensor, session, ts, pane_key(username) as text from login_attempts",
        Dimension::Command => "select sensor, session, ts, input as text from commands where kind = 'input'",
        Dimension::Hassh => {
            "select sensor, session, ts, hassh as text from client_fingerprints where kind = 'kex'"
        }
        Dimension::Download => {
            "select sensor, session, ts, shasum as text from downloads where kind <> 'failed'"
        }
        Dimension::Forward => {
            "select sensor, session, ts, pane_key(dst_host || coalesce(':' || dst_port, '')) as text from forwards where kind = 'request'"
        }
        _ => return Ok(Vec::new()),
    };
    let mut query = QueryBuilder::<Postgres>::new(
        "with m as materialized (select * from (
            (select p.at, p.first_seen, p.last_seen from feature_panes_minute p
            where p.dimension = $1::text::pane_dimension and p.key = pane_key($2) and p.covered and p.at >= $3 and p.at < $4 order by p.at desc limit $5)
            union all
            (select p.at, p.first_seen, p.last_seen from feature_panes_minute p
            where p.dimension = $1::text::pane_dimension and p.key = pane_key($2) and not p.covered and p.at >= $3 and p.at < $4 order by p.at desc limit $5)
        ) u order by at desc limit $5)
        select q.sensor, q.session, q.text from m, lateral (select * from (",
    );
    query.push(rows);
    query.push(") r where r.ts between m.first_seen and m.last_seen and r.session is not null) q");
    if dimension != Dimension::Command {
        query.push(" where q.text = pane_key($2)");
    }
    query.push(" order by q.ts desc limit 20000");
    let found: Vec<Found> = sqlx::query_as(sqlx::AssertSqlSafe(query.into_string()))
        .bind(dimension.name())
        .bind(key)
        .bind(span.from)
        .bind(span.to)
        .bind(MOST_MINUTES)
        .fetch_all(on)
        .await?;
    let bounded = events::bounded(key);
    let is_it = |found: &Found| {
        let text = found.text.as_deref().unwrap_or_default();
        dimension != Dimension::Command || events::bounded(&normalise(text)) == bounded
    };
    let mut known = HashSet::new();
    let mut sessions: Vec<SessionKey> =
        found.into_iter().filter(is_it).map(|found| (found.sensor, found.session)).collect();
    sessions.retain(|session| known.insert(session.clone()));
    sessions.truncate(MOST_SESSIONS);
    Ok(sessions)
}

/// Something that the sessions of a thing had, and in how many of them.
#[derive(Clone, PartialEq, Debug, FromRow)]
pub struct RelatedRow {
    pub kind: String,
    pub key: String,
    pub sessions: i64,
}

/// Returns what these sessions had: of each kind the most frequent ones.
pub async fn related(
    on: &mut PgConnection,
    sessions: &[SessionKey],
    limit: i64,
) -> Result<Vec<RelatedRow>, Failure> {
    let (sensors, ids): (Vec<_>, Vec<_>) = sessions.iter().cloned().unzip();
    let related = sqlx::query_as(
        "with k as materialized (select * from unnest($1::text[], $2::text[]) k (sensor, session)),
        s as materialized (select s.* from k join sessions s on s.sensor = k.sensor and s.session = k.session),
        found (kind, key, sensor, session) as (
            select 'sensor', sensor, sensor, session from s
            union select 'ip', host(src_ip), sensor, session from s
            union select 'hassh', hassh, sensor, session from s
            union select 'client_version', client_version, sensor, session from s
            union select 'username', l.username, k.sensor, k.session from k join login_attempts l on l.sensor = k.sensor and l.session = k.session
            union select 'command', left(c.input, 500), k.sensor, k.session from k join commands c on c.sensor = k.sensor and c.session = k.session and c.kind = 'input'
            union select 'file', d.shasum, k.sensor, k.session from k join downloads d on d.sensor = k.sensor and d.session = k.session
            union select 'url', left(d.url, 500), k.sensor, k.session from k join downloads d on d.sensor = k.sensor and d.session = k.session
            union select 'forward', f.dst_host || coalesce(':' || f.dst_port, ''), k.sensor, k.session
                from k join forwards f on f.sensor = k.sensor and f.session = k.session and f.kind = 'request'
        )
        select kind, key, sessions from (
            select kind, key, count(*) as sessions, row_number() over (partition by kind order by count(*) desc, key) as place
            from found where key <> '' group by kind, key
        ) r where place <= $3 order by kind, place",
    )
    .bind(&sensors)
    .bind(&ids)
    .bind(limit)
    .fetch_all(on)
    .await?;
    Ok(related)
}
