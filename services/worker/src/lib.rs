//! Runs jobs: looks for them with permits, claims them in Postgres, and writes only while the claim holds.
//!
//! **Invariant**: every write of a job is made by the attempt that runs; one that lost its claim writes
//! nothing more.

pub mod analyses;
mod attempt;
mod beat;
mod config;
mod diagnostic;
mod memory;
mod process;
mod pull;
mod report;
mod work;

use std::{collections::HashMap, path::PathBuf, sync::Arc, time::Duration};

use boot::{Health, Tasks};
use bus::Bus;
use jobs::WorkerSpec;
use store::Store;
use tokio::sync::{Mutex, mpsc, watch};
use uuid::Uuid;

use attempt::Running;
use memory::Memory;
pub use process::attempt;

/// What a worker may be told.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Args {
    /// Its name, by which preferences and exclusive queues know it; the host's without it
    #[arg(long = "name", env = "COWRIESTREAM_WORKER_NAME", value_name = "NAME")]
    pub worker_name: Option<String>,
    /// Queues to serve, separated by commas
    #[arg(long, env = "COWRIESTREAM_WORKER_QUEUES", value_delimiter = ',', value_name = "QUEUE")]
    pub queues: Vec<String>,
    /// Jobs at the same time; as many as cores without it
    #[arg(long, env = "COWRIESTREAM_WORKER_CONCURRENCY", value_parser = clap::value_parser!(u32).range(1..=256), value_name = "N")]
    pub concurrency: Option<u32>,
    /// Queues and concurrency of a kind of worker
    #[arg(long, env = "COWRIESTREAM_WORKER_PROFILE", value_name = "PROFILE")]
    pub profile: Option<config::Profile>,
    /// worker-config.yaml; the entry with --name, or with this host's name, is ours
    #[arg(long, env = "COWRIESTREAM_WORKER_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What the machine has, when it is not seen: e.g. nvidia_cuda, apple_neural_engine, none
    #[arg(long, env = "COWRIESTREAM_WORKER_ACCELERATOR", value_name = "NAME")]
    pub accelerator: Option<String>,
    /// Memory that jobs may take together, in GiB; else three quarters of what the machine or the control
    /// group has
    #[arg(long, env = "COWRIESTREAM_WORKER_MEMORY_GB", value_name = "GIB")]
    pub memory_gb: Option<f64>,
    /// Cores to offer, when it is not what the machine has
    #[arg(long, env = "COWRIESTREAM_WORKER_CPU_CORES", value_name = "N")]
    pub cpu_cores: Option<u32>,
    /// When asked to stop: seconds for running jobs to end before they are handed back
    #[arg(long, env = "COWRIESTREAM_WORKER_DRAIN_SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u64).range(0..=20), value_name = "SECONDS")]
    pub drain_seconds: u64,
    /// Seconds before the second attempt; doubled for each further one, up to ten minutes, give or take half
    #[arg(long, env = "COWRIESTREAM_WORKER_RETRY_SECONDS", default_value_t = 5.0, value_parser = config::retry_seconds, value_name = "SECONDS")]
    pub retry_seconds: f64,
}

/// What the tasks of a worker share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub bus: Bus,
    /// For what keeps the worker and its claims alive.
    pub store: Store,
    /// For the code of jobs, which may hold a connection for as long as a question takes.
    pub jobs: Store,
    pub memory: Memory,
    pub worker_id: Uuid,
    pub spec: Arc<WorkerSpec>,
    /// What runs here.
    pub running: Arc<Mutex<HashMap<Uuid, Running>>>,
    pub retry_seconds: f64,
    pub drain: Duration,
    pub tasks: Tasks,
}

/// The name that a worker of these settings has; fails when a worker cannot have them. Asks nobody, so it
/// comes before any connection.
pub fn name(args: &Args) -> anyhow::Result<String> {
    Ok(config::settings(args)?.spec.name)
}

/// Starts a worker; it runs until `tasks` stop, and then finishes or hands back what it has. The schema must
/// exist.
pub async fn start(
    args: &Args,
    bus: Bus,
    store: Store,
    health: &Health,
    tasks: &Tasks,
) -> anyhow::Result<WorkerSpec> {
    let config::Settings { spec, configured_memory: configured } = config::settings(args)?;
    store.check_schema().await?;
    let shared = Shared {
        bus,
        jobs: store.separate((store.connections() / 2).max(1)),
        store,
        memory: Memory::of(&spec, configured),
        worker_id: Uuid::new_v4(),
        spec: Arc::new(spec.clone()),
        running: Arc::default(),
        retry_seconds: args.retry_seconds,
        drain: Duration::from_secs(args.drain_seconds),
        // What a job has begun may end after the stop.
        tasks: tasks.detached(),
    };
    let mut connection = shared.store.connection().await?;
    store::register_worker(&mut connection, shared.worker_id, &shared.spec).await?;
    drop(connection);
    let connected = shared.bus.clone();
    health.needs("broker", move || connected.connected());
    let (tell, permits) = mpsc::channel(1_024);
    let (free, slots) = watch::channel(shared.spec.concurrency as usize);
    for queue in &shared.spec.queues {
        tasks.spawn(
            "permits",
            pull::pull(shared.clone(), queue.queue.clone(), slots.clone(), tell.clone(), tasks.stop()),
        );
    }
    let draining = boot::CancellationToken::new();
    tasks.spawn("heartbeat", beat::beat(shared.clone(), draining.clone()));
    tasks.spawn("jobs", work::work(shared, permits, free, draining, tasks.stop()));
    Ok(spec)
}
