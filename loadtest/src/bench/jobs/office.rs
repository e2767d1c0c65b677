//! Runs a coordinator and a worker as processes, with a Redis for the mirror.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use proto::{SubmitJobRequest, WatchJobRequest, WatchJobResponse, jobs_service_client::JobsServiceClient};
use servers::{DataDir, Servers, Wanted};
use tokio::process::{Child, Command};
use tonic::{
    Request, Status, Streaming, metadata::MetadataValue, service::interceptor::InterceptedService,
    transport::Channel,
};

use crate::bench::{cpu, edge, site::Site};

/// Jobs that the worker runs at the same time. Jobs of the benchmark end at once, so this is also how many
/// the worker claims and ends in one transaction.
pub const CONCURRENCY: u32 = 64;
/// Time limit for the start of a process.
const START: Duration = Duration::from_secs(20);

/// Sends a key with each call.
#[derive(Clone)]
pub struct WithKey(MetadataValue<tonic::metadata::Ascii>);

impl tonic::service::Interceptor for WithKey {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("x-api-key", self.0.clone());
        Ok(request)
    }
}

pub type Client = JobsServiceClient<InterceptedService<Channel, WithKey>>;

/// A coordinator and a worker as processes, and the Redis of the mirror.
pub struct Office {
    /// A connection to the coordinator.
    pub client: Client,
    pub redis_url: String,
    coordinator: Child,
    worker: Child,
    redis: Servers,
    _data: DataDir,
}

impl Office {
    /// Starts the processes and waits until the worker is registered.
    pub async fn open(site: &Site) -> anyhow::Result<Self> {
        let data = DataDir::take(&site.dir.join("redis"))?;
        let mut redis = Servers::start(&data, Wanted { nats: false, postgres: false, redis: true }).await?;
        let redis_url = redis.urls.redis.clone().unwrap_or_default();
        match start(site, &redis_url).await {
            Ok((coordinator, worker, client)) => {
                Ok(Self { client, redis_url, coordinator, worker, redis, _data: data })
            }
            Err(error) => {
                redis.stop().await;
                Err(error)
            }
        }
    }

    pub async fn close(mut self) -> anyhow::Result<()> {
        let stopped = (edge::stop(&mut self.worker).await, edge::stop(&mut self.coordinator).await);
        self.redis.stop().await;
        stopped.0?;
        stopped.1
    }

    /// Processor seconds used so far by coordinator, worker and Redis.
    pub fn cpu(&self) -> [f64; 3] {
        let of = |process: &Child| process.id().map_or(0.0, cpu::seconds);
        [
            of(&self.coordinator),
            of(&self.worker),
            self.redis.processes().into_iter().map(|(_, pid)| cpu::seconds(pid)).sum(),
        ]
    }

    /// Submits a `diagnostic` job; returns its id.
    pub async fn submit(client: &mut Client, steps: u32, step_seconds: f64) -> anyhow::Result<String> {
        let number =
            |value: f64| prost_types::Value { kind: Some(prost_types::value::Kind::NumberValue(value)) };
        let fields =
            [("steps".to_owned(), number(steps.into())), ("step_seconds".to_owned(), number(step_seconds))];
        let parameters = Some(prost_types::Struct { fields: fields.into() });
        let answer = client
            .submit_job(SubmitJobRequest { job_type: "diagnostic".into(), parameters, ..Default::default() })
            .await?
            .into_inner();
        anyhow::ensure!(answer.created, "job {} was there", answer.job_id);
        Ok(answer.job_id)
    }

    /// Subscribes to the statuses of a job, from the first one on.
    pub async fn watch(client: &mut Client, job_id: &str) -> anyhow::Result<Streaming<WatchJobResponse>> {
        Ok(client
            .watch_job(WatchJobRequest { job_id: job_id.to_owned(), after_version: 0 })
            .await?
            .into_inner())
    }
}

async fn start(site: &Site, redis_url: &str) -> anyhow::Result<(Child, Child, Client)> {
    let log = site.dir.join("coordinator.err");
    let listen = [
        ("COWRIESTREAM_REST_LISTEN", "127.0.0.1:0"),
        ("COWRIESTREAM_GRPC_LISTEN", "127.0.0.1:0"),
        ("REDIS_URL", redis_url),
    ];
    let coordinator = role(site, &["coordinator"], &log)?.envs(listen).spawn()?;
    let words = said(&log, "coordinator ready").await?;
    let address = words
        .split_whitespace()
        .find_map(|word| word.strip_prefix("grpc="))
        .context("the coordinator did not say where it listens")?;
    let channel = Channel::from_shared(format!("http://{address}"))?
        .connect()
        .await
        .context("connect to the coordinator")?;
    let client = JobsServiceClient::with_interceptor(channel, key(site).await?);
    let log = site.dir.join("worker.err");
    let concurrency = CONCURRENCY.to_string();
    let worker = role(
        site,
        &["worker", "--name", "bench", "--queues", "reports", "--concurrency", &concurrency],
        &log,
    )?
    .spawn()?;
    said(&log, "worker ready").await?;
    Ok((coordinator, worker, client))
}

/// A new key that may do everything.
async fn key(site: &Site) -> anyhow::Result<WithKey> {
    let log = site.dir.join("keys.err");
    let mut create = role(site, &["keys", "create", "--name", "bench", "--scopes", "admin"], &log)?;
    let created = create.stdout(Stdio::piped()).output().await.context("create a key")?;
    let key = String::from_utf8_lossy(&created.stdout).trim().to_owned();
    let key = key.parse().ok().filter(|_| created.status.success());
    Ok(WithKey(key.with_context(|| format!("create a key: see {}", log.display()))?))
}

fn role(site: &Site, arguments: &[&str], log: &Path) -> anyhow::Result<Command> {
    let program: PathBuf = std::env::current_exe()?.with_file_name("cowriestream");
    anyhow::ensure!(
        program.exists(),
        "{} is not built: run loadtest/bench, or cargo build --release -p cowriestream",
        program.display()
    );
    let mut command = Command::new(program);
    command.args(arguments).env("NATS_URL", &site.nats_url).env("DATABASE_URL", &site.database_url);
    command.env("COWRIESTREAM_HEALTH_LISTEN", "127.0.0.1:0").env("COWRIESTREAM_LOG", "info");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(log)?).kill_on_drop(true);
    Ok(command)
}

/// Waits for a log line that contains `what`, and returns it.
async fn said(log: &Path, what: &str) -> anyhow::Result<String> {
    let started = Instant::now();
    loop {
        let text = fs::read_to_string(log)?;
        if let Some(line) = text.lines().find(|line| line.contains(what)) {
            return Ok(line.to_owned());
        }
        anyhow::ensure!(started.elapsed() < START, "no {what:?} after {START:?}: {}", boot::safe(&text));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
