//! The tables `workers`, `paused_queues` and `exclusive_queues`.

use ::jobs::{Capabilities, WorkerSpec};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::Failure;

/// A worker as Postgres knows it.
#[derive(Clone, Debug)]
pub struct Worker {
    /// Random id, new each time the worker process starts.
    pub worker_id: Uuid,
    /// What the worker reported about itself.
    pub spec: WorkerSpec,
    /// Jobs it runs.
    pub running: i32,
    /// Takes nothing more.
    pub draining: bool,
    /// Whether its last heartbeat is less than 15 s old.
    pub alive: bool,
    /// Time of the last heartbeat.
    pub heartbeat_at: DateTime<Utc>,
}

/// Makes a worker known, or says that it lives with what it now says of itself. Its exclusive queues are
/// remembered without it.
pub async fn register(on: &mut PgConnection, worker_id: Uuid, spec: &WorkerSpec) -> Result<(), Failure> {
    let queues = serde_json::to_value(&spec.queues).map_err(|error| Failure::Reject(error.into()))?;
    sqlx::query!(
        "insert into workers (worker_id, name, hostname, type, platform, concurrency, queues, job_types, accelerator, memory_gb, cpu_cores)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
        on conflict (worker_id) do update set heartbeat_at = clock_timestamp()",
        worker_id,
        spec.name,
        spec.hostname,
        spec.place,
        spec.platform,
        spec.concurrency,
        queues,
        &spec.job_types,
        spec.capabilities.accelerator,
        spec.capabilities.memory_gb,
        spec.capabilities.cpu_cores,
    )
    .execute(&mut *on)
    .await?;
    let exclusive: Vec<_> =
        spec.queues.iter().filter(|queue| queue.exclusive).map(|queue| queue.queue.clone()).collect();
    sqlx::query!(
        "delete from exclusive_queues where worker = $1 and queue <> all($2)",
        spec.name,
        &exclusive
    )
    .execute(&mut *on)
    .await?;
    sqlx::query!(
        "insert into exclusive_queues (queue, worker) select unnest($2::text[]), $1 on conflict do nothing",
        spec.name,
        &exclusive
    )
    .execute(&mut *on)
    .await?;
    sqlx::query!("delete from workers where heartbeat_at < clock_timestamp() - interval '1 day'")
        .execute(on)
        .await?;
    Ok(())
}

/// Says that a worker lives; whether it is known.
pub async fn beat(
    on: &mut PgConnection,
    worker_id: Uuid,
    running: i32,
    draining: bool,
) -> Result<bool, Failure> {
    let done =
        sqlx::query!("update workers set heartbeat_at = clock_timestamp(), running = $2, draining = $3 where worker_id = $1", worker_id, running, draining)
            .execute(on)
            .await?;
    Ok(done.rows_affected() == 1)
}

/// Forgets a worker that has stopped.
pub async fn forget(on: &mut PgConnection, worker_id: Uuid) -> Result<(), Failure> {
    sqlx::query!("delete from workers where worker_id = $1", worker_id).execute(on).await?;
    Ok(())
}

/// What became of the removal of a worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Removed {
    /// It is gone, and no queue is exclusive to it any more.
    Done,
    /// A worker of that name is alive.
    Alive,
    /// There is no such worker, and no queue is exclusive to one.
    Unknown,
}

/// Removes dead workers of a name, with what makes queues exclusive to it.
pub async fn remove(on: &mut PgConnection, name: &str) -> Result<Removed, Failure> {
    // One statement, so that a worker that registers now is either seen alive or registers after it.
    let row = sqlx::query!(
        r#"with alive as materialized (
            select exists (select from workers where name = $1 and heartbeat_at > clock_timestamp() - interval '15 seconds') as yes
        ),
        rows as (delete from workers using alive where name = $1 and not yes returning 1),
        queues as (delete from exclusive_queues using alive where worker = $1 and not yes returning 1)
        select yes as "alive!", (select count(*) from rows) + (select count(*) from queues) as "removed!" from alive"#,
        name,
    )
    .fetch_one(on)
    .await?;
    Ok(match (row.alive, row.removed) {
        (true, _) => Removed::Alive,
        (false, 0) => Removed::Unknown,
        (false, _) => Removed::Done,
    })
}

/// Every worker with a heartbeat within a day, by name.
pub async fn list(on: &mut PgConnection) -> Result<Vec<Worker>, Failure> {
    let rows = sqlx::query!(
        r#"select worker_id, name, hostname, type as "place!", platform, concurrency, running, queues, job_types, accelerator, memory_gb, cpu_cores,
            draining, heartbeat_at, heartbeat_at > clock_timestamp() - interval '15 seconds' as "alive!"
        from workers order by name, started_at"#
    )
    .fetch_all(on)
    .await?;
    let read = |row: serde_json::Value| {
        serde_json::from_value(row)
            .map_err(|error| Failure::Reject(anyhow::Error::from(error).context("read a worker's queues")))
    };
    rows.into_iter()
        .map(|row| {
            Ok(Worker {
                worker_id: row.worker_id,
                running: row.running,
                draining: row.draining,
                alive: row.alive,
                heartbeat_at: row.heartbeat_at,
                spec: WorkerSpec {
                    name: row.name,
                    hostname: row.hostname,
                    place: row.place,
                    platform: row.platform,
                    concurrency: row.concurrency,
                    queues: read(row.queues)?,
                    job_types: row.job_types,
                    capabilities: Capabilities {
                        accelerator: row.accelerator,
                        memory_gb: row.memory_gb,
                        cpu_cores: row.cpu_cores,
                    },
                },
            })
        })
        .collect()
}
