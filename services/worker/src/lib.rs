//! Runs jobs: gets permits, claims jobs in Postgres, and writes only while a claim holds.
//!
//! **Invariant**: every write of a job is made by its current attempt. An attempt that lost its lease writes
//! nothing more.
//!
//! The modules, from the bottom up: `step` and `backend` (what a job writes, and the one function that writes
//! it), `run` (what job code may ask), `analyses` (the analyses, also for the command line), `job_types` (the
//! code of each job type, with the registry), `process` and `attempt` (run one attempt), `work`, `heartbeat`
//! and `permits` (the worker). `tools/arrows` checks that none uses a module above it.

pub mod analyses;
mod args;
mod attempt;
mod backend;
mod config;
mod ends;
mod error;
mod heartbeat;
mod job_types;
mod machine;
mod markdown;
mod memory;
mod messages;
mod metrics;
mod permits;
mod process;
mod publish;
mod run;
mod shared;
mod step;
mod stop;
mod work;

use std::{sync::Arc, time::Duration};

use boot::{Health, Tasks};
use bus::Bus;
use jobs::WorkerSpec;
use store::Store;
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

pub use self::{
    args::{Args, Profile},
    backend::{Applied, ApplyError, Backend},
    error::AttemptError,
    process::attempt,
    step::{LongtailDay, LongtailModel, LongtailRun, Step},
};
use self::{memory::Memory, shared::Shared};

/// Most permits that wait for the worker.
const MOST_PERMITS: usize = 1_024;

/// The name of a worker with these settings. Fails if the settings are wrong. Call it before any connection
/// is made.
pub fn name(args: &Args) -> anyhow::Result<String> {
    Ok(config::settings(args)?.spec.name)
}

/// What a worker works with.
#[derive(Clone)]
pub struct Parts {
    pub bus: Bus,
    pub store: Store,
    pub health: Health,
    pub tasks: Tasks,
}

/// Starts a worker. It runs until its tasks stop, and then finishes its jobs or hands them back. The schema
/// must exist.
pub async fn start(args: &Args, parts: Parts) -> anyhow::Result<WorkerSpec> {
    let Parts { bus, store, health, tasks } = parts;
    metrics::describe();
    let config::Settings { spec, is_memory_configured } = config::settings(args)?;
    store.check_schema().await?;
    let shared = Shared {
        bus,
        jobs: store.separate((store.connections() / 2).max(1)),
        store,
        memory: Memory::new(&spec, is_memory_configured),
        worker_id: Uuid::new_v4(),
        spec: Arc::new(spec.clone()),
        running: Arc::default(),
        retry_seconds: args.retry_seconds,
        drain: Duration::from_secs(args.drain_seconds),
        // A running job may end after the stop.
        tasks: tasks.detached(),
    };
    let mut connection = shared.store.connection().await?;
    store::jobs::workers::register(&mut connection, shared.worker_id, &shared.spec).await?;
    drop(connection);
    let broker = shared.bus.clone();
    health.needs("broker", move || broker.connected());
    let (sender, permits) = mpsc::channel(MOST_PERMITS);
    let (free, slots) = watch::channel(shared.spec.concurrency as usize);
    for queue in &shared.spec.queues {
        let pull =
            permits::pull(shared.clone(), queue.queue.clone(), slots.clone(), sender.clone(), tasks.stop());
        tasks.spawn("permits", pull);
    }
    let drained = boot::CancellationToken::new();
    tasks.spawn("heartbeat", heartbeat::heartbeat(shared.clone(), drained.clone()));
    tasks.spawn("jobs", work::work(shared, permits, free, drained, tasks.stop()));
    Ok(spec)
}
