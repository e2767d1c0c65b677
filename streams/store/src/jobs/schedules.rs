//! The table `schedules`.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;

use crate::Failure;

/// Jobs at times.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// Its name.
    pub name: String,
    /// When.
    pub cron: String,
    /// The request.
    pub job: Value,
    /// Whether each missed firing is made good.
    pub catch_up: bool,
    /// Whether it comes from the file of schedules.
    pub from_file: bool,
    /// When it fires next.
    pub next_at: DateTime<Utc>,
    /// When it fired last.
    pub last_at: Option<DateTime<Utc>>,
    /// Why its last firing made no job, or why it cannot fire.
    pub error: Option<String>,
}

/// Every schedule, by name.
pub async fn list(on: &mut PgConnection) -> Result<Vec<Schedule>, Failure> {
    let all = sqlx::query_as!(
        Schedule,
        "select name, cron, job, catch_up, from_file, next_at, last_at, error from schedules order by name"
    )
    .fetch_all(on)
    .await?;
    Ok(all)
}

/// Some that are due, the longest overdue first.
pub async fn due(on: &mut PgConnection, limit: i64) -> Result<Vec<Schedule>, Failure> {
    let due = sqlx::query_as!(
        Schedule,
        "select name, cron, job, catch_up, from_file, next_at, last_at, error from schedules
        where next_at <= clock_timestamp() order by next_at limit $1",
        limit
    )
    .fetch_all(on)
    .await?;
    Ok(due)
}

/// Stores when schedules fired, when they do next, and why they made no job; with the time at which each was
/// due. A schedule that was replaced meanwhile is left as it is.
pub async fn fired(on: &mut PgConnection, fired: &[(DateTime<Utc>, Schedule)]) -> Result<(), Failure> {
    let due: Vec<_> = fired.iter().map(|(due, _)| *due).collect();
    let names: Vec<_> = fired.iter().map(|(_, one)| one.name.clone()).collect();
    let crons: Vec<_> = fired.iter().map(|(_, one)| one.cron.clone()).collect();
    let next: Vec<_> = fired.iter().map(|(_, one)| one.next_at).collect();
    let last: Vec<_> = fired.iter().map(|(_, one)| one.last_at).collect();
    let errors: Vec<_> = fired.iter().map(|(_, one)| one.error.clone()).collect();
    sqlx::query!(
        "update schedules s set next_at = f.next_at, last_at = f.last_at, error = f.error
        from unnest($1::text[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::timestamptz[], $6::text[])
            as f (name, cron, due_at, next_at, last_at, error)
        where s.name = f.name and s.cron = f.cron and s.next_at = f.due_at",
        &names,
        &crons,
        &due,
        &next,
        &last as &[Option<DateTime<Utc>>],
        &errors as &[Option<String>],
    )
    .execute(on)
    .await?;
    Ok(())
}

/// Creates or replaces a schedule. One that fires as before keeps its next time.
pub async fn put(on: &mut PgConnection, schedule: &Schedule) -> Result<Schedule, Failure> {
    let stored = sqlx::query_as!(
        Schedule,
        "insert into schedules as s (name, cron, job, catch_up, from_file, next_at) values ($1, $2, $3, $4, $5, $6)
        on conflict (name) do update set cron = excluded.cron, job = excluded.job, catch_up = excluded.catch_up, from_file = excluded.from_file,
            next_at = case when s.cron = excluded.cron and s.error is null then s.next_at else excluded.next_at end, error = null
        returning name, cron, job, catch_up, from_file, next_at, last_at, error",
        schedule.name,
        schedule.cron,
        schedule.job,
        schedule.catch_up,
        schedule.from_file,
        schedule.next_at,
    )
    .fetch_one(on)
    .await?;
    Ok(stored)
}

/// Deletes a schedule; whether there was one.
pub async fn delete(on: &mut PgConnection, name: &str) -> Result<bool, Failure> {
    let done = sqlx::query!("delete from schedules where name = $1", name).execute(on).await?;
    Ok(done.rows_affected() == 1)
}

/// Deletes those that came from a file and stand there no more.
pub async fn keep_of_file(on: &mut PgConnection, names: &[String]) -> Result<(), Failure> {
    sqlx::query!("delete from schedules where from_file and name <> all($1)", names).execute(on).await?;
    Ok(())
}
