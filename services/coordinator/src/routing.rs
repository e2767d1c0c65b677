//! Which workers may run a job, and why a job waits. The rules are those of the claim (`store::claims`).

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use jobs::{State, Status};
use store::{jobs::Job, jobs::queues::Queue, jobs::workers::Worker};

/// Names of live workers by queue, the preferred first.
pub type Routes = BTreeMap<String, Vec<String>>;

fn preference(worker: &Worker, queue: &str) -> Option<i32> {
    worker.spec.queues.iter().filter(|served| served.queue == queue).map(|served| served.priority).max()
}

fn serves(worker: &Worker, name: &str, queue: Option<&Queue>) -> bool {
    let allowed = queue
        .is_none_or(|queue| queue.exclusive_to.is_empty() || queue.exclusive_to.contains(&worker.spec.name));
    worker.alive && !worker.draining && allowed && preference(worker, name).is_some()
}

/// Why a worker that serves the queue cannot run a job; `None` when it can.
fn lacks(job: &Job, worker: &Worker) -> Option<String> {
    let has = &worker.spec.capabilities;
    if !worker.spec.job_types.contains(&job.job_type) {
        return Some(format!("does not know {}", job.job_type));
    }
    if job.min_memory_gb > has.memory_gb {
        return Some(format!("has {:.1} GiB of {}", has.memory_gb, job.min_memory_gb));
    }
    if job.min_cpu_cores > has.cpu_cores {
        return Some(format!("has {} of {} cores", has.cpu_cores, job.min_cpu_cores));
    }
    let fits = job.accelerators.is_empty() || job.accelerators.contains(&has.accelerator);
    (!fits).then(|| format!("has accelerator {}, not {}", has.accelerator, job.accelerators.join(" or ")))
}

/// Live workers that may run a job, the preferred first.
pub fn qualified<'a>(job: &Job, workers: &'a [Worker], queue: Option<&Queue>) -> Vec<&'a Worker> {
    let mut found: Vec<_> = workers
        .iter()
        .filter(|worker| serves(worker, &job.queue, queue) && lacks(job, worker).is_none())
        .collect();
    found.sort_by_key(|worker| std::cmp::Reverse(preference(worker, &job.queue)));
    found
}

/// Why a job waits, in words; `None` when it does not.
pub fn waits_for(
    job: &Job,
    status: &Status,
    workers: &[Worker],
    queue: Option<&Queue>,
    now: DateTime<Utc>,
) -> Option<String> {
    if !matches!(status.state, State::Queued | State::Retrying) {
        return None;
    }
    if queue.is_some_and(|queue| queue.paused) {
        return Some(format!("queue {} is paused", job.queue));
    }
    if let Some(at) = status.next_attempt_at.filter(|&at| at > now) {
        return Some(format!("its time: {}", at.format("%Y-%m-%dT%H:%M:%SZ")));
    }
    let found = qualified(job, workers, queue);
    if !found.is_empty() {
        let busy = found.iter().all(|worker| worker.running >= worker.spec.concurrency);
        return Some(if busy {
            "a free slot: every worker that qualifies is busy".to_owned()
        } else {
            "a worker to take it".to_owned()
        });
    }
    let serving: Vec<_> = workers.iter().filter(|worker| serves(worker, &job.queue, queue)).collect();
    if serving.is_empty() {
        let exclusive = queue.map(|queue| queue.exclusive_to.join(", ")).filter(|names| !names.is_empty());
        return Some(match exclusive {
            Some(names) => {
                format!("a worker: queue {} is exclusive to {names}, which is not there", job.queue)
            }
            None => format!("a worker: no live worker serves queue {}", job.queue),
        });
    }
    let why: Vec<_> = serving
        .iter()
        .take(5)
        .filter_map(|worker| lacks(job, worker).map(|lack| format!("{} {lack}", worker.spec.name)))
        .collect();
    Some(format!("a worker that meets its requirements: {}", why.join("; ")))
}

/// The live workers that take the jobs of each queue.
pub fn routes(workers: &[Worker], queues: &[Queue]) -> Routes {
    let of = |queue: &Queue| {
        let mut found: Vec<_> =
            workers.iter().filter(|worker| serves(worker, &queue.name, Some(queue))).collect();
        found.sort_by_key(|worker| std::cmp::Reverse(preference(worker, &queue.name)));
        found.into_iter().map(|worker| worker.spec.name.clone()).collect()
    };
    queues.iter().map(|queue| (queue.name.clone(), of(queue))).collect()
}
