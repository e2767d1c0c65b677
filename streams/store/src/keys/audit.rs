//! The audit log.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;

use crate::Failure;

pub const DONE: &str = "done";
pub const DENIED: &str = "denied";

/// Who did what, or was denied it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Entry {
    pub at: DateTime<Utc>,
    pub who: String,
    pub action: String,
    pub target: String,
    pub from: Option<String>,
    /// `done` or `denied`.
    pub outcome: String,
    pub detail: String,
}

pub async fn insert(on: &mut PgConnection, entries: &[Entry]) -> Result<(), Failure> {
    let texts = |of: fn(&Entry) -> &String| entries.iter().map(|one| clean(of(one))).collect::<Vec<_>>();
    let at: Vec<_> = entries.iter().map(|one| one.at).collect();
    let from: Vec<_> = entries.iter().map(|one| one.from.as_deref().map(clean)).collect();
    sqlx::query!(
        "insert into audit_log (at, who, action, target, from_address, outcome, detail)
        select * from unnest($1::timestamptz[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])",
        &at,
        &texts(|one| &one.who),
        &texts(|one| &one.action),
        &texts(|one| &one.target),
        &from as &[Option<String>],
        &texts(|one| &one.outcome),
        &texts(|one| &one.detail),
    )
    .execute(on)
    .await?;
    Ok(())
}

/// The newest entries first.
pub async fn list(on: &mut PgConnection, limit: i64) -> Result<Vec<Entry>, Failure> {
    let rows = sqlx::query_as!(
        Entry,
        r#"select at, who, action, target, from_address as "from", outcome, detail
        from audit_log order by entry_id desc limit $1"#,
        limit,
    )
    .fetch_all(on)
    .await?;
    Ok(rows)
}

/// Deletes entries that are older than this many days, some thousands at a time, and counters of past days.
pub async fn forget(on: &mut PgConnection, days: u32) -> Result<(), Failure> {
    sqlx::query!(
        "delete from audit_log where entry_id in
        (select entry_id from audit_log where at < clock_timestamp() - make_interval(days => $1) order by at limit 5000)",
        days.cast_signed(),
    )
    .execute(&mut *on)
    .await?;
    sqlx::query!("delete from api_key_days where day < current_date - 7").execute(on).await?;
    Ok(())
}

/// Postgres stores no NUL in text.
fn clean(text: &str) -> String {
    text.chars().filter(|&c| c != '\0').take(500).collect()
}
