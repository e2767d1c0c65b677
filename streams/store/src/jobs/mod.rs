//! The tables `jobs`, `job_events` and `job_results`: submission, lists, cancellation and retries.
//!
//! **Invariant**: what was submitted is never changed. `next_attempt_at`, `retries` and `uncounted_attempts`
//! change.

mod changes;
mod claims;
pub mod queues;
pub mod schedules;
pub mod workers;

use ::jobs::{Request, State, Status};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::Failure;
pub use changes::changes;
pub use claims::{
    Claimed, End, Outcome, Progress, cancelled, claim, diagnostic_step, end, holds, renew, set_checkpoint,
    set_progress, starving, sweep,
};

/// A request with what the submission adds.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// Chosen by the submission.
    pub job_id: Uuid,
    /// What is asked for.
    pub request: Request,
    /// The schedule that asks.
    pub schedule: Option<String>,
    /// W3C trace context of the caller.
    pub traceparent: Option<String>,
}

/// What became of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Submitted {
    /// It is a job now.
    Created,
    /// Its idempotency key or unique key names a job that was there.
    Existing(Uuid),
    /// Its idempotency key names a job of another request.
    OtherRequest(Uuid),
}

/// Adds jobs; says for each what became of it.
pub async fn submit(on: &mut PgConnection, new: &[NewJob]) -> Result<Vec<Submitted>, Failure> {
    let mut outcomes = vec![None; new.len()];
    // A job with the same unique key may end between our insert and our look: then the next round inserts.
    for _ in 0..3 {
        let left: Vec<_> = (0..new.len()).filter(|&n| outcomes[n].is_none()).collect();
        if left.is_empty() {
            break;
        }
        let created = insert(on, left.iter().map(|&n| &new[n])).await?;
        for n in left {
            outcomes[n] = match created.contains(&new[n].job_id) {
                true => Some(Submitted::Created),
                false => existing(on, &new[n]).await?,
            };
        }
    }
    let unclear = || Failure::Retry(anyhow::anyhow!("jobs with the same unique key came and went"));
    outcomes.into_iter().map(|outcome| outcome.ok_or_else(unclear)).collect()
}

async fn insert(on: &mut PgConnection, new: impl Iterator<Item = &NewJob>) -> Result<Vec<Uuid>, Failure> {
    let hex = |hash: &[u8]| hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let row = |NewJob { job_id, request, schedule, traceparent }: &NewJob| {
        json!({
            "job_id": job_id, "job_type": request.parameters.name(), "queue": request.queue, "parameters": request.parameters.to_value(), "priority": request.priority,
            "not_before": request.not_before, "deadline": request.deadline, "timeout_seconds": request.timeout_seconds,
            "max_attempts": request.max_attempts, "min_memory_gb": request.requirements.min_memory_gb,
            "min_cpu_cores": request.requirements.min_cpu_cores, "accelerators": request.requirements.accelerator,
            "idempotency_key": request.idempotency_key, "request_hash": hex(&request.hash), "unique_key": request.unique_key,
            "schedule": schedule, "traceparent": traceparent,
        })
    };
    let created = sqlx::query_scalar!(
        "insert into jobs (job_id, job_type, queue, parameters, priority, not_before, next_attempt_at, deadline, timeout_seconds, max_attempts,
            min_memory_gb, min_cpu_cores, accelerators, idempotency_key, request_hash, unique_key, schedule, traceparent)
        select job_id, job_type, queue, parameters, priority, not_before, coalesce(not_before, clock_timestamp()), deadline, timeout_seconds,
            max_attempts, min_memory_gb, min_cpu_cores, accelerators, idempotency_key, decode(request_hash, 'hex'), unique_key, schedule, traceparent
        from jsonb_to_recordset($1) as r (job_id uuid, job_type text, queue text, parameters jsonb, priority smallint, not_before timestamptz,
            deadline timestamptz, timeout_seconds int, max_attempts int, min_memory_gb float8, min_cpu_cores int, accelerators text[],
            idempotency_key text, request_hash text, unique_key text, schedule text, traceparent text)
        order by idempotency_key, unique_key
        on conflict do nothing returning job_id",
        Value::Array(new.map(row).collect()),
    )
    .fetch_all(on)
    .await?;
    Ok(created)
}

async fn existing(on: &mut PgConnection, new: &NewJob) -> Result<Option<Submitted>, Failure> {
    // The keys of firings are not those of callers. Jobs of earlier versions have no hash that can be
    // compared.
    let same = sqlx::query!(
        r#"select job_id, (request_hash = $3
            or request_hash = '' and job_type = $4 and queue = $5 and parameters = $6) as "same!"
        from jobs where idempotency_key = $1 and (schedule is not null) = $2"#,
        new.request.idempotency_key,
        new.schedule.is_some(),
        &new.request.hash,
        new.request.parameters.name(),
        new.request.queue,
        new.request.parameters.to_value(),
    )
    .fetch_optional(&mut *on)
    .await?;
    if let Some(row) = same {
        return Ok(Some(match row.same {
            true => Submitted::Existing(row.job_id),
            false => Submitted::OtherRequest(row.job_id),
        }));
    }
    let running = sqlx::query_scalar!(
        "select job_id from jobs where unique_key = $1 and state in ('queued', 'in_progress', 'retrying')",
        new.request.unique_key
    )
    .fetch_optional(on)
    .await?;
    Ok(running.map(Submitted::Existing))
}

/// A job as it is shown.
#[derive(Clone, Debug)]
pub struct Job {
    pub job_id: Uuid,
    pub job_type: String,
    pub queue: String,
    pub parameters: Value,
    pub priority: i16,
    pub created_at: DateTime<Utc>,
    /// As submitted. Its status says when the next attempt may start.
    pub not_before: Option<DateTime<Utc>>,
    pub deadline: Option<DateTime<Utc>>,
    pub timeout_seconds: i32,
    pub max_attempts: i32,
    pub min_memory_gb: f64,
    pub min_cpu_cores: i32,
    pub accelerators: Vec<String>,
    pub idempotency_key: Option<String>,
    pub unique_key: Option<String>,
    pub schedule: Option<String>,
    pub status: Value,
    /// Only of one that was asked for by id.
    pub result: Option<Value>,
}

impl Job {
    /// Its status.
    pub fn status(&self) -> Result<Status, Failure> {
        read_status(self.status.clone())
    }
}

/// Reads what `job_status` made.
pub(crate) fn read_status(status: Value) -> Result<Status, Failure> {
    serde_json::from_value(status)
        .map_err(|error| Failure::Reject(anyhow::Error::from(error).context("read the status of a job")))
}

/// A job by its id.
pub async fn get(on: &mut PgConnection, job_id: Uuid) -> Result<Option<Job>, Failure> {
    let job = sqlx::query_as!(
        Job,
        r#"select j.job_id, job_type, queue, parameters, priority, created_at, not_before, deadline, timeout_seconds, max_attempts, min_memory_gb,
            min_cpu_cores, accelerators, idempotency_key, unique_key, schedule, job_status(j) as "status!", r.result as "result?"
        from jobs j left join job_results r on r.job_id = j.job_id and j.state = 'completed' where j.job_id = $1"#,
        job_id
    )
    .fetch_optional(on)
    .await?;
    Ok(job)
}

/// Which jobs to list.
#[derive(Clone, Debug, Default)]
pub struct JobFilter {
    /// In these states; empty: all.
    pub states: Vec<State>,
    pub queue: Option<String>,
    pub job_type: Option<String>,
    /// Made by this schedule.
    pub schedule: Option<String>,
    pub unique_key: Option<String>,
    /// Accepted at this time or later.
    pub from: Option<DateTime<Utc>>,
    /// Accepted before this time.
    pub to: Option<DateTime<Utc>>,
    /// Before this one in the list.
    pub after: Option<(DateTime<Utc>, Uuid)>,
}

/// Jobs, newest first, without results.
pub async fn list(on: &mut PgConnection, filter: &JobFilter, limit: i64) -> Result<Vec<Job>, Failure> {
    let states: Vec<_> = filter.states.iter().map(|state| state.name().to_owned()).collect();
    let jobs = sqlx::query_as!(
        Job,
        r#"select job_id, job_type, queue, parameters, priority, created_at, not_before, deadline, timeout_seconds, max_attempts, min_memory_gb,
            min_cpu_cores, accelerators, idempotency_key, unique_key, schedule, job_status(j) as "status!", null::jsonb as "result?"
        from jobs j where (cardinality($1::text[]) = 0 or state = any($1::text[]::job_state[])) and ($2::text is null or queue = $2)
            and ($3::text is null or job_type = $3) and ($7::text is null or schedule = $7) and ($8::text is null or unique_key = $8)
            and ($9::timestamptz is null or created_at >= $9) and ($10::timestamptz is null or created_at < $10)
            and ($4::timestamptz is null or (created_at, job_id) < ($4, $5))
        order by created_at desc, job_id desc limit $6"#,
        &states,
        filter.queue,
        filter.job_type,
        filter.after.map(|after| after.0),
        filter.after.map(|after| after.1),
        limit,
        filter.schedule,
        filter.unique_key,
        filter.from,
        filter.to,
    )
    .fetch_all(on)
    .await?;
    Ok(jobs)
}

/// The states a job went through after a version, oldest first.
pub async fn states(on: &mut PgConnection, job_id: Uuid, after: i64) -> Result<Vec<Status>, Failure> {
    let rows = sqlx::query_scalar!(
        "select status from job_events where job_id = $1 and version > $2 order by version limit 1000",
        job_id,
        after
    )
    .fetch_all(on)
    .await?;
    rows.into_iter().map(read_status).collect()
}

/// Cancels a job that waits; asks a running one to stop. `None`: there is no such job; otherwise whether
/// anything could be done, and its status.
pub async fn cancel(on: &mut PgConnection, job_id: Uuid) -> Result<Option<(bool, Status)>, Failure> {
    let done = sqlx::query_scalar!(
        r#"update jobs set cancel_requested = true,
            finished_at = case when state = 'in_progress' then finished_at else clock_timestamp() end,
            state = case when state = 'in_progress' then state else 'cancelled' end
        where job_id = $1 and state in ('queued', 'in_progress', 'retrying') returning job_status(jobs) as "status!""#,
        job_id
    )
    .fetch_optional(&mut *on)
    .await?;
    changed(on, job_id, done).await
}

/// Queues a failed or cancelled job again, from its checkpoint, with one attempt more. What was submitted
/// stays; its deadline no longer applies. Returns as [`cancel_job`] does.
pub async fn retry(on: &mut PgConnection, job_id: Uuid) -> Result<Option<(bool, Status)>, Failure> {
    let done = sqlx::query_scalar!(
        r#"update jobs set state = 'queued', cancel_requested = false, next_attempt_at = clock_timestamp(), finished_at = null,
            error_type = null, error_message = null, retries = retries + 1, crashes = 0, lost_workers = 0
        where job_id = $1 and state in ('failed', 'cancelled')
            and not exists (select from jobs o where o.unique_key = jobs.unique_key and o.state in ('queued', 'in_progress', 'retrying'))
        returning job_status(jobs) as "status!""#,
        job_id
    )
    .fetch_optional(&mut *on)
    .await?;
    changed(on, job_id, done).await
}

async fn changed(
    on: &mut PgConnection,
    job_id: Uuid,
    done: Option<Value>,
) -> Result<Option<(bool, Status)>, Failure> {
    if let Some(status) = done {
        return Ok(Some((true, read_status(status)?)));
    }
    match get(on, job_id).await? {
        Some(job) => Ok(Some((false, job.status()?))),
        None => Ok(None),
    }
}

/// A state that a job went through, for the mirror. What the job gave is read apart, for it may be large.
#[derive(Clone, Debug)]
pub struct JobEvent {
    /// Its row.
    pub id: i64,
    pub queue: String,
    /// When the job was accepted.
    pub created_at: DateTime<Utc>,
    /// The status after this event.
    pub status: Status,
    /// Bytes that the result takes in the database, when this is its completion.
    pub result_bytes: i32,
}

/// Rows after one, by any job. Rows may appear late, between those that were there: look back.
pub async fn event_ids(on: &mut PgConnection, after: i64, limit: i64) -> Result<Vec<i64>, Failure> {
    let ids =
        sqlx::query_scalar!("select id from job_events where id > $1 order by id limit $2", after, limit)
            .fetch_all(on)
            .await?;
    Ok(ids)
}

/// The states of these rows, in their order.
pub async fn events(on: &mut PgConnection, ids: &[i64]) -> Result<Vec<JobEvent>, Failure> {
    let rows = sqlx::query!(
        r#"select e.id, e.status, j.queue, j.created_at, coalesce(pg_column_size(r.result), 0) as "result_bytes!"
        from job_events e join jobs j using (job_id)
        left join job_results r on r.job_id = e.job_id and e.status ->> 'state' = 'completed'
        where e.id = any($1) order by e.id"#,
        ids
    )
    .fetch_all(on)
    .await?;
    rows.into_iter()
        .map(|row| {
            let (id, queue, created_at, result_bytes) = (row.id, row.queue, row.created_at, row.result_bytes);
            Ok(JobEvent { id, queue, created_at, status: read_status(row.status)?, result_bytes })
        })
        .collect()
}

/// What jobs gave.
pub async fn results(on: &mut PgConnection, jobs: &[Uuid]) -> Result<Vec<(Uuid, Value)>, Failure> {
    let rows = sqlx::query!("select job_id, result from job_results where job_id = any($1)", jobs)
        .fetch_all(on)
        .await?;
    Ok(rows.into_iter().map(|row| (row.job_id, row.result)).collect())
}

/// The newest row of `job_events`.
pub async fn newest_event(on: &mut PgConnection) -> Result<i64, Failure> {
    let id =
        sqlx::query_scalar!(r#"select coalesce(max(id), 0) as "id!" from job_events"#).fetch_one(on).await?;
    Ok(id)
}

/// What a whole mirror holds: the jobs that have not ended and those that ended lately, each with its status
/// of now. In order of id, after one.
pub async fn mirrored(
    on: &mut PgConnection,
    after: Uuid,
    kept_seconds: f64,
    limit: i64,
) -> Result<Vec<JobEvent>, Failure> {
    let rows = sqlx::query!(
        r#"select job_status(j) as "status!", j.queue, j.created_at, coalesce(pg_column_size(r.result), 0) as "result_bytes!"
        from jobs j left join job_results r on r.job_id = j.job_id and j.state = 'completed'
        where j.job_id > $1 and (j.state in ('queued', 'in_progress', 'retrying') or j.finished_at > clock_timestamp() - make_interval(secs => $2))
        order by j.job_id limit $3"#,
        after,
        kept_seconds,
        limit
    )
    .fetch_all(on)
    .await?;
    rows.into_iter()
        .map(|row| {
            let (queue, created_at, result_bytes) = (row.queue, row.created_at, row.result_bytes);
            Ok(JobEvent { id: 0, queue, created_at, status: read_status(row.status)?, result_bytes })
        })
        .collect()
}

/// Deletes some of the jobs that ended so long ago, with their results; how many.
pub async fn forget(on: &mut PgConnection, days: u32) -> Result<u64, Failure> {
    let done = sqlx::query!(
        "delete from jobs where job_id = any(array(
            select job_id from jobs where finished_at < clock_timestamp() - make_interval(days => $1) order by finished_at limit 5000))",
        days.cast_signed()
    )
    .execute(on)
    .await?;
    Ok(done.rows_affected())
}
