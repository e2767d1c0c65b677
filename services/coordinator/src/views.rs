//! Rows of the database as views.

use jobs::{
    Capabilities, Preference, Requirements, Status, WorkerSpec,
    views::{Job, Queue, Schedule, Worker, WorkerStatus},
};
use web::Problem;

pub(crate) fn job(job: store::jobs::Job, status: Status) -> Job {
    Job {
        job_id: job.job_id,
        job_type: job.job_type,
        queue: job.queue,
        parameters: job.parameters,
        priority: job.priority,
        created_at: job.created_at,
        not_before: job.not_before,
        deadline: job.deadline,
        timeout_seconds: job.timeout_seconds,
        max_attempts: job.max_attempts,
        idempotency_key: job.idempotency_key,
        unique_key: job.unique_key,
        schedule: job.schedule,
        requirements: Requirements {
            min_memory_gb: job.min_memory_gb,
            min_cpu_cores: job.min_cpu_cores,
            accelerator: job.accelerators,
        },
        status,
        result: job.result,
    }
}

pub(crate) fn queue(queue: store::jobs::queues::Queue) -> Queue {
    let store::jobs::queues::Queue { name, paused, waiting, running, exclusive_to } = queue;
    Queue { name, paused, waiting, running, exclusive_to }
}

/// A worker as in ADR 002, with more.
pub(crate) fn worker(worker: store::jobs::workers::Worker) -> Worker {
    let status = match (worker.alive, worker.draining) {
        (false, _) => WorkerStatus::Dead,
        (true, true) => WorkerStatus::Draining,
        (true, false) => WorkerStatus::Active,
    };
    let WorkerSpec { name, hostname, place, platform, concurrency, queues, job_types, capabilities } =
        worker.spec;
    Worker {
        worker_id: worker.worker_id,
        name,
        hostname,
        place,
        queues: queues.iter().map(|served| served.queue.clone()).collect(),
        status,
        concurrency,
        running: worker.running,
        platform,
        preferences: queues,
        capabilities,
        job_types,
        heartbeat_at: worker.heartbeat_at,
    }
}

pub(crate) fn schedule(schedule: store::jobs::schedules::Schedule) -> Schedule {
    let store::jobs::schedules::Schedule { name, cron, job, catch_up, from_file, next_at, last_at, error } =
        schedule;
    Schedule { name, cron, job, catch_up, from_file, next_at, last_at, error }
}

/// A worker of another program, as it registers over gRPC.
pub(crate) fn worker_spec(worker: proto::Worker) -> Result<WorkerSpec, Problem> {
    let has = worker.capabilities.unwrap_or_default();
    let number = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
    let or = |text: String, other: &str| if text.is_empty() { other.to_owned() } else { text };
    let preference = |served: proto::WorkerQueue| Preference {
        queue: served.queue,
        priority: if served.priority == 0 { 50 } else { number(served.priority) },
        exclusive: served.exclusive,
    };
    let spec = WorkerSpec {
        hostname: or(worker.hostname, &worker.name),
        name: worker.name,
        place: or(worker.r#type, "native"),
        platform: worker.platform,
        concurrency: number(worker.concurrency),
        queues: worker.queues.into_iter().map(preference).collect(),
        job_types: worker.job_types,
        capabilities: Capabilities {
            accelerator: or(has.accelerator, "none"),
            memory_gb: has.memory_gb,
            cpu_cores: number(has.cpu_cores),
        },
    };
    spec.check().map_err(|why| Problem::field("worker", why))?;
    Ok(spec)
}
