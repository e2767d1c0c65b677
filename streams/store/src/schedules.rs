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
    /// Whether it stands in the file of schedules.
    pub from_file: bool,
    /// When it fires next.
    pub next_at: DateTime<Utc>,
    /// When it fired last.
    pub last_at: Option<DateTime<Utc>>,
}

/// Every schedule, by name.
pub async fn schedules(on: &mut PgConnection) -> Result<Vec<Schedule>, Failure> {
    let all = sqlx::query_as!(Schedule, "select name, cron, job, catch_up, from_file, next_at, last_at from schedules order by name").fetch_all(on).await?;
    Ok(all)
}

/// One that is due, locked until the transaction ends.
pub async fn due_schedule(on: &mut PgConnection) -> Result<Option<Schedule>, Failure> {
    let due = sqlx::query_as!(
        Schedule,
        "select name, cron, job, catch_up, from_file, next_at, last_at from schedules
        where next_at <= clock_timestamp() order by next_at limit 1 for update skip locked"
    )
    .fetch_optional(on)
    .await?;
    Ok(due)
}

/// Notes that a schedule fired, and when it does next.
pub async fn schedule_fired(on: &mut PgConnection, name: &str, last_at: DateTime<Utc>, next_at: DateTime<Utc>) -> Result<(), Failure> {
    sqlx::query!("update schedules set last_at = $2, next_at = $3 where name = $1", name, last_at, next_at).execute(on).await?;
    Ok(())
}

/// Creates or replaces a schedule. One that fires as before keeps its next time.
pub async fn put_schedule(on: &mut PgConnection, schedule: &Schedule) -> Result<Schedule, Failure> {
    let stored = sqlx::query_as!(
        Schedule,
        "insert into schedules as s (name, cron, job, catch_up, from_file, next_at) values ($1, $2, $3, $4, $5, $6)
        on conflict (name) do update set cron = excluded.cron, job = excluded.job, catch_up = excluded.catch_up, from_file = excluded.from_file,
            next_at = case when s.cron = excluded.cron then s.next_at else excluded.next_at end
        returning name, cron, job, catch_up, from_file, next_at, last_at",
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
pub async fn delete_schedule(on: &mut PgConnection, name: &str) -> Result<bool, Failure> {
    let done = sqlx::query!("delete from schedules where name = $1", name).execute(on).await?;
    Ok(done.rows_affected() == 1)
}

/// Deletes those that came from a file and stand there no more.
pub async fn keep_schedules_of_file(on: &mut PgConnection, names: &[String]) -> Result<(), Failure> {
    sqlx::query!("delete from schedules where from_file and name <> all($1)", names).execute(on).await?;
    Ok(())
}
