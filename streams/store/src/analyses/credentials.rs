//! Counts sources of credentials before a point in time.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::Failure;

/// Number of sources that came before `before`.
pub async fn sources_before(on: &mut PgConnection, before: DateTime<Utc>) -> Result<u64, Failure> {
    let sources = sqlx::query_scalar!(
        r#"select coalesce(sketch_estimate(count(*), max(h)), 0) as "sources!"
        from (
            select distinct h from window_panes('all', '', '0001-01-01Z'::timestamptz, date_trunc('minute', $1::timestamptz)) p, unnest(p.src_ips) h
            order by h limit 1024
        ) d"#,
        before,
    )
    .fetch_one(on)
    .await?;
    Ok(sources.unsigned_abs())
}

/// Returns, for each credential (user name, password) in the given order, the number of sources that tried it
/// before `before`.
pub async fn credential_sources_before(
    on: &mut PgConnection,
    before: DateTime<Utc>,
    credentials: &[(String, String)],
) -> Result<Vec<u64>, Failure> {
    let (users, passwords): (Vec<String>, Vec<String>) = credentials.iter().cloned().unzip();
    let counts = sqlx::query_scalar!(
        r#"select coalesce((
            select sketch_estimate(count(*), max(h)) from (
                select distinct h
                from window_panes('credential', pane_key(credential_key(c.username, c.password)), '0001-01-01Z'::timestamptz, date_trunc('minute', $3::timestamptz)) p,
                    unnest(p.src_ips) h
                order by h limit 1024
            ) d
        ), 0) as "sources!"
        from unnest($1::text[], $2::text[]) with ordinality as c (username, password, n) order by c.n"#,
        &users,
        &passwords,
        before,
    )
    .fetch_all(on)
    .await?;
    Ok(counts.into_iter().map(i64::unsigned_abs).collect())
}
