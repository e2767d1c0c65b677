//! The table `jobs`, as those see it who run them: claims, leases, progress, checkpoints and ends.
//! Every write names the attempt, and is refused when that is not the one that runs.

use ::jobs::Status;
use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{Failure, jobs::read_status};

/// How long a claim holds without being renewed, in seconds.
const LEASE_SECONDS: f64 = 20.0;
/// For so long a less preferred worker leaves a job to a preferred one that has a free slot, in seconds.
const GRACE_SECONDS: f64 = 3.0;
/// A job that has waited so long may be taken before more urgent ones, in seconds.
const STARVING_SECONDS: f64 = 60.0;
/// Workers that may die one after the other while they run a job, before their deaths count as attempts. A
/// checkpoint starts the count again.
const FORGIVEN_WORKERS: i32 = 10;

/// A job that is ours.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Claimed {
    /// Its id.
    pub job_id: Uuid,
    /// Which attempt this is: every write names it.
    pub attempt: i32,
    /// How many may count: those of the request, and one for each retry by a caller.
    pub max_attempts: i32,
    /// Attempts before this one that do not count: a dependency or the worker went away.
    pub uncounted_attempts: i32,
    /// Attempts before this one that killed their process.
    pub crashes: i32,
    /// Its type.
    pub job_type: String,
    /// Its queue.
    pub queue: String,
    /// What it was given.
    pub parameters: Value,
    /// Time limit of this attempt.
    pub timeout_seconds: i32,
    /// Memory that its worker must have, in GiB.
    pub min_memory_gb: f64,
    /// Where an earlier attempt got to.
    pub checkpoint: Option<Value>,
    /// W3C trace context of the submission.
    pub traceparent: Option<String>,
    /// Its status now.
    pub status: Value,
}

impl Claimed {
    /// Its status when it was claimed.
    pub fn status(&self) -> Result<Status, Failure> {
        read_status(self.status.clone())
    }

    /// Which of the attempts that count this is, from 1.
    pub fn counted_attempt(&self) -> i32 {
        (self.attempt - self.uncounted_attempts).max(1)
    }
}

/// Jobs that have waited too long, the oldest first: only such as [`claim_jobs`] would give to this worker.
pub async fn starving(on: &mut PgConnection, worker_id: Uuid, limit: i64) -> Result<Vec<Uuid>, Failure> {
    let found = sqlx::query_scalar!(
        // The oldest of each queue by the index jobs_oldest.
        "select oldest.job_id from workers me, jsonb_array_elements(me.queues) q cross join lateral (
            select j.job_id, j.created_at from jobs j
            where j.queue = q ->> 'queue' and j.state in ('queued', 'retrying') and j.created_at < now() - make_interval(secs => $2)
                and j.next_attempt_at < now() - make_interval(secs => $2) and j.job_type = any(me.job_types)
                and (j.deadline is null or j.attempt > 0 or j.retries > 0 or j.deadline > clock_timestamp())
                and j.min_memory_gb <= me.memory_gb and j.min_cpu_cores <= me.cpu_cores and (j.accelerators = '{}' or me.accelerator = any(j.accelerators))
            order by j.created_at limit $3
        ) oldest
        where me.worker_id = $1 and not exists (select from paused_queues p where p.queue = q ->> 'queue')
            and (not exists (select from exclusive_queues e where e.queue = q ->> 'queue')
                or exists (select from exclusive_queues e where e.queue = q ->> 'queue' and e.worker = me.name))
        order by oldest.created_at limit $3",
        worker_id,
        STARVING_SECONDS,
        limit,
    )
    .fetch_all(on)
    .await?;
    Ok(found)
}

/// Takes up to `slots` jobs: the most urgent first, then the oldest; with `only`, none but these. A worker
/// that is draining or unknown gets none.
pub async fn claim(
    on: &mut PgConnection,
    worker_id: Uuid,
    slots: i64,
    only: Option<&[Uuid]>,
) -> Result<Vec<Claimed>, Failure> {
    let claimed = sqlx::query_as!(
        Claimed,
        r#"with me as materialized (select * from workers where worker_id = $1 and not draining),
        mine as materialized (
            select q ->> 'queue' as queue, (q ->> 'priority')::int as priority from me, jsonb_array_elements(me.queues) q
            where not exists (select from paused_queues p where p.queue = q ->> 'queue')
                and (not exists (select from exclusive_queues e where e.queue = q ->> 'queue')
                    or exists (select from exclusive_queues e where e.queue = q ->> 'queue' and e.worker = me.name))
        ),
        -- Who is preferred to us and has a free slot.
        preferred as materialized (
            select mine.queue, w.memory_gb, w.cpu_cores, w.accelerator, w.job_types
            from mine, workers w, jsonb_array_elements(w.queues) q
            where w.worker_id <> $1 and not w.draining and w.heartbeat_at > clock_timestamp() - interval '15 seconds' and w.running < w.concurrency
                and q ->> 'queue' = mine.queue and (q ->> 'priority')::int > mine.priority
        ),
        -- The first of each queue by the index jobs_due, so that queues which nobody serves cost nothing; then the first of all.
        picked as (
            select due.job_id from me, mine cross join lateral (
                select j.job_id, j.priority, j.created_at from jobs j
                where j.queue = mine.queue and j.state in ('queued', 'retrying') and j.next_attempt_at <= clock_timestamp() and ($3::uuid[] is null or j.job_id = any($3))
                    and (j.deadline is null or j.attempt > 0 or j.retries > 0 or j.deadline > clock_timestamp()) and j.job_type = any(me.job_types)
                    and j.min_memory_gb <= me.memory_gb and j.min_cpu_cores <= me.cpu_cores and (j.accelerators = '{}' or me.accelerator = any(j.accelerators))
                    and (greatest(j.created_at, j.next_attempt_at) < clock_timestamp() - make_interval(secs => $4) or not exists (
                        select from preferred p where p.queue = j.queue and j.job_type = any(p.job_types) and j.min_memory_gb <= p.memory_gb
                            and j.min_cpu_cores <= p.cpu_cores and (j.accelerators = '{}' or p.accelerator = any(j.accelerators))))
                order by j.priority desc, j.created_at limit $2 for update of j skip locked
            ) due
            order by due.priority desc, due.created_at limit $2
        )
        update jobs j set state = 'in_progress', attempt = attempt + 1, worker_id = me.worker_id, worker = me.name, started_at = clock_timestamp(),
            lease_until = clock_timestamp() + make_interval(secs => $5), progress_percent = 0, current_step = null, sessions_processed = null,
            total_sessions = null, estimated_completion = null, error_type = null, error_message = null
        from picked, me where j.job_id = picked.job_id
        returning j.job_id, j.attempt, j.max_attempts + j.retries as "max_attempts!", j.uncounted_attempts, j.crashes, j.job_type, j.queue, j.parameters, j.timeout_seconds, j.min_memory_gb, j.checkpoint, j.traceparent,
            job_status(j) as "status!""#,
        worker_id,
        slots,
        only,
        GRACE_SECONDS,
        LEASE_SECONDS,
    )
    .fetch_all(on)
    .await?;
    Ok(claimed)
}

/// Renews the leases of jobs; returns those that are still ours, with whether somebody wants them cancelled.
pub async fn renew(
    on: &mut PgConnection,
    worker_id: Uuid,
    running: &[(Uuid, i32)],
) -> Result<Vec<(Uuid, bool)>, Failure> {
    let (ids, attempts): (Vec<_>, Vec<_>) = running.iter().copied().unzip();
    let rows = sqlx::query!(
        "update jobs j set lease_until = clock_timestamp() + make_interval(secs => $4)
        from unnest($2::uuid[], $3::int[]) as r (job_id, attempt)
        where j.job_id = r.job_id and j.attempt = r.attempt and j.worker_id = $1 and j.state = 'in_progress'
        returning j.job_id, j.cancel_requested",
        worker_id,
        &ids,
        &attempts,
        LEASE_SECONDS,
    )
    .fetch_all(on)
    .await?;
    Ok(rows.into_iter().map(|row| (row.job_id, row.cancel_requested)).collect())
}

/// Those of our jobs that somebody wants cancelled.
pub async fn cancelled(on: &mut PgConnection, worker_id: Uuid) -> Result<Vec<Uuid>, Failure> {
    let ids = sqlx::query_scalar!(
        "select job_id from jobs where worker_id = $1 and state = 'in_progress' and cancel_requested",
        worker_id
    )
    .fetch_all(on)
    .await?;
    Ok(ids)
}

/// Whether the attempt still runs; if so, it stays so until the transaction ends. Ask last, before the
/// commit.
pub async fn holds(on: &mut PgConnection, job_id: Uuid, attempt: i32) -> Result<bool, Failure> {
    let held = sqlx::query_scalar!(
        r#"select true as "held!" from jobs
        where job_id = $1 and attempt = $2 and state = 'in_progress' and lease_until > clock_timestamp() for no key update"#,
        job_id,
        attempt
    )
    .fetch_optional(on)
    .await?;
    Ok(held.is_some())
}

/// Stores where an attempt got to. The transaction holds the job.
pub async fn set_checkpoint(on: &mut PgConnection, job_id: Uuid, checkpoint: &Value) -> Result<(), Failure> {
    sqlx::query!("update jobs set checkpoint = $2, lost_workers = 0 where job_id = $1", job_id, checkpoint)
        .execute(on)
        .await?;
    Ok(())
}

/// How far an attempt is.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Progress {
    pub percent: f64,
    pub step: String,
    /// Sessions that the job has read; `None` for a job that does not read sessions.
    pub processed: Option<i64>,
    /// Sessions that the job reads in all.
    pub total: Option<i64>,
    pub estimated_completion: Option<DateTime<Utc>>,
}

/// Records progress; `None` when the attempt does not run any more.
pub async fn set_progress(
    on: &mut PgConnection,
    job_id: Uuid,
    attempt: i32,
    progress: &Progress,
) -> Result<Option<Status>, Failure> {
    let status = sqlx::query_scalar!(
        r#"update jobs set progress_percent = greatest(progress_percent, $3), current_step = $4, sessions_processed = $5, total_sessions = $6,
            estimated_completion = $7
        where job_id = $1 and attempt = $2 and state = 'in_progress' and lease_until > clock_timestamp() returning job_status(jobs) as "status!""#,
        job_id,
        attempt,
        progress.percent,
        progress.step,
        progress.processed,
        progress.total,
        progress.estimated_completion,
    )
    .fetch_optional(on)
    .await?;
    status.map(read_status).transpose()
}

/// How an attempt ended.
#[derive(Clone, Debug)]
pub struct End {
    /// The job.
    pub job_id: Uuid,
    /// The attempt.
    pub attempt: i32,
    /// What it came to.
    pub outcome: Outcome,
}

/// What an attempt came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Done, with a result.
    Completed(Value),
    /// Try again after a pause.
    Retry {
        /// Kind and words.
        error: (String, String),
        /// Seconds.
        after: f64,
    },
    /// Not again.
    Failed {
        /// Kind and words.
        error: (String, String),
    },
    /// It killed its process. Counts as an attempt, and as a crash.
    Crashed {
        /// Kind and words.
        error: (String, String),
        /// Seconds before the next attempt; `None`: not again.
        after: Option<f64>,
    },
    /// A dependency went away. Not counted as an attempt.
    Interrupted {
        /// Kind and words.
        error: (String, String),
        /// Seconds before the next attempt.
        after: f64,
    },
    /// Somebody cancelled it.
    Cancelled,
    /// The worker stops: another goes on at once. Not counted as an attempt.
    HandedBack,
}

impl Outcome {
    /// The state it leads to, and seconds before another attempt.
    fn state(&self) -> (&'static str, f64) {
        match self {
            Self::Completed(_) => ("completed", 0.0),
            Self::Failed { .. } | Self::Crashed { after: None, .. } => ("failed", 0.0),
            Self::Retry { after, .. }
            | Self::Crashed { after: Some(after), .. }
            | Self::Interrupted { after, .. } => ("retrying", *after),
            Self::Cancelled => ("cancelled", 0.0),
            Self::HandedBack => ("queued", 0.0),
        }
    }

    fn error(&self) -> Option<&(String, String)> {
        match self {
            Self::Retry { error, .. }
            | Self::Failed { error }
            | Self::Crashed { error, .. }
            | Self::Interrupted { error, .. } => Some(error),
            Self::Completed(_) | Self::Cancelled | Self::HandedBack => None,
        }
    }
}

/// Ends attempts; returns the statuses of those that were still running. A job that was cancelled meanwhile
/// does not run again, however its attempt ended.
pub async fn end(on: &mut PgConnection, worker_id: Uuid, ends: &[End]) -> Result<Vec<Status>, Failure> {
    let row = |End { job_id, attempt, outcome }: &End| {
        let ((state, after), error) = (outcome.state(), outcome.error());
        let result = if let Outcome::Completed(result) = outcome { Some(result) } else { None };
        serde_json::json!({
            "job_id": job_id, "attempt": attempt, "state": state, "result": result, "after": after,
            "error_type": error.map(|error| &error.0), "error_message": error.map(|error| &error.1),
            "uncounted": i32::from(matches!(outcome, Outcome::Interrupted { .. } | Outcome::HandedBack)),
            "crashed": i32::from(matches!(outcome, Outcome::Crashed { .. })),
        })
    };
    let statuses = sqlx::query_scalar!(
        r#"with ends as materialized (
            select * from jsonb_to_recordset($2)
                as r (job_id uuid, attempt int, state job_state, result jsonb, after float8, error_type text, error_message text, uncounted int, crashed int)
        ),
        held as materialized (
            select j.job_id, case when j.cancel_requested and e.state <> 'completed' then 'cancelled' else e.state end as final from jobs j join ends e on e.job_id = j.job_id and e.attempt = j.attempt
            where j.worker_id = $1 and j.state = 'in_progress' and j.lease_until > clock_timestamp()
            order by j.job_id for no key update of j
        ),
        results as (
            insert into job_results (job_id, attempt, result)
            select e.job_id, e.attempt, e.result from ends e join held using (job_id) where e.state = 'completed'
            on conflict (job_id) do update set attempt = excluded.attempt, result = excluded.result, finished_at = excluded.finished_at
        )
        update jobs j set state = held.final,
            error_type = case when held.final <> 'cancelled' then e.error_type end,
            error_message = case when held.final <> 'cancelled' then e.error_message end,
            next_attempt_at = clock_timestamp() + make_interval(secs => e.after),
            finished_at = case when held.final in ('completed', 'failed', 'cancelled') then clock_timestamp() end,
            lease_until = null, uncounted_attempts = j.uncounted_attempts + e.uncounted, crashes = j.crashes + e.crashed,
            progress_percent = case when e.state = 'completed' then 100 else j.progress_percent end,
            checkpoint = case when e.state = 'completed' then null else j.checkpoint end,
            estimated_completion = null
        from ends e join held using (job_id) where j.job_id = e.job_id
        returning job_status(j) as "status!""#,
        worker_id,
        Value::Array(ends.iter().map(row).collect()),
    )
    .fetch_all(on)
    .await?;
    statuses.into_iter().map(read_status).collect()
}

/// Takes jobs from workers that did not renew their lease or overran the time of an attempt by far; ends
/// those whose deadline passed. A worker that dies is not the fault of its jobs, so that is not counted as an
/// attempt: what can kill its process runs in one of its own. Returns what changed.
pub async fn sweep(on: &mut PgConnection) -> Result<Vec<Status>, Failure> {
    let statuses = sqlx::query_scalar!(
        r#"with lost as materialized (
            select job_id, lease_until < clock_timestamp() as silent, lease_until < clock_timestamp() and lost_workers < $1 as forgiven from jobs
            where state = 'in_progress' and (lease_until < clock_timestamp() or started_at + make_interval(secs => timeout_seconds + 30) < clock_timestamp())
            order by job_id for no key update skip locked
        ),
        taken as (
            update jobs j set
                state = case when cancel_requested then 'cancelled' when forgiven or attempt - uncounted_attempts < max_attempts + retries then 'retrying'
                    else 'failed' end::job_state,
                error_type = case when cancel_requested then null when silent then 'WorkerLost' else 'Timeout' end,
                error_message = case when cancel_requested then null when silent then format('worker %s was not heard of', j.worker)
                    else format('longer than %s s', j.timeout_seconds) end,
                next_attempt_at = clock_timestamp(), lease_until = null, estimated_completion = null,
                uncounted_attempts = uncounted_attempts + forgiven::int, lost_workers = lost_workers + silent::int,
                finished_at = case when cancel_requested or not forgiven and attempt - uncounted_attempts >= max_attempts + retries then clock_timestamp() end
            from lost where j.job_id = lost.job_id returning job_status(j) as status
        ),
        missed as (
            update jobs j set state = 'failed', error_type = 'DeadlineExceeded', error_message = 'not started before its deadline',
                finished_at = clock_timestamp()
            where state in ('queued', 'retrying') and attempt = 0 and retries = 0 and deadline <= clock_timestamp() returning job_status(j) as status
        )
        select status as "status!" from taken union all select status from missed"#,
        FORGIVEN_WORKERS,
    )
    .fetch_all(on)
    .await?;
    statuses.into_iter().map(read_status).collect()
}

/// Records a step of a diagnostic job; whether this was the first time.
pub async fn diagnostic_step(
    on: &mut PgConnection,
    job_id: Uuid,
    attempt: i32,
    step: i64,
    worker: &str,
) -> Result<bool, Failure> {
    let done = sqlx::query!(
        "insert into diagnostic_steps (job_id, step, attempt, worker) values ($1, $2, $3, $4) on conflict do nothing",
        job_id,
        step as i32,
        attempt,
        worker
    )
    .execute(on)
    .await?;
    Ok(done.rows_affected() == 1)
}
