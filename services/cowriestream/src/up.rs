//! `up`: everything in one process, with private servers where no URLs are given.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use access::{Access, Key};
use anyhow::Context as _;
use boot::{Health, HealthArgs, Tasks};
use bus::{Bus, BusArgs, topology::TopologyArgs};
use events::SensorId;
use loader::{Loader, Statistics, Summary, Tuning, logs::LogSpec};
use serde::Serialize;
use servers::{Cowrie, DataDir, Honeypot, Servers, Wanted};
use store::{Store, StoreArgs};

use crate::{admin_key, ready, tail};

/// Interval of the progress report in the log.
const REPORT: Duration = Duration::from_secs(10);
/// Pause between two attempts to write `env`.
const ENV_PAUSE: Duration = Duration::from_secs(1);

/// `cowriestream up`
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = "Examples:
  cowriestream up --honeypot
  cowriestream up --log /srv/cowrie/var/log/cowrie/cowrie.json
  cowriestream up --log fra-1=/logs/fra-1/cowrie.json --log nyc-1='/logs/nyc-1/*.json*'
  cowriestream up --once --log '/backup/cowrie/**/cowrie.json*'

Then, in another terminal:
  set -a; . .cowriestream/env; psql \"$DATABASE_URL\" -c 'select eventid, count(*) from events group by 1 order by 2 desc'")]
pub struct Args {
    /// Log to tail, with its rotated siblings; or a glob pattern. May be given several times; without any, no
    /// loader runs
    #[arg(long = "log", env = "COWRIESTREAM_LOG_PATH", num_args = 1.., value_name = "[SENSOR=]PATH|GLOB")]
    pub logs: Vec<LogSpec>,
    /// Also start a real Cowrie on loopback, tail its log, and show its events live
    #[arg(long, conflicts_with = "once")]
    pub honeypot: bool,
    /// Version of Cowrie on PyPI that --honeypot installs in the data directory. COWRIESTREAM_COWRIE names
    /// the bin directory of another installation
    #[arg(long, env = "COWRIESTREAM_COWRIE_VERSION", default_value = "3.1.4", value_name = "VERSION")]
    pub cowrie_version: String,
    /// Sensor id of the honeypot, and of the logs that name none
    #[arg(long, env = "COWRIESTREAM_SENSOR", default_value = "local", value_name = "NAME")]
    pub sensor: SensorId,
    /// Directory of data, ports, secrets, the checkpoint and `env`
    #[arg(long, env = "COWRIESTREAM_DATA_DIR", default_value = ".cowriestream", value_name = "DIR")]
    pub data_dir: PathBuf,
    /// Load the given logs, wait until everything is committed and summarised, print the summary, and exit
    #[arg(long, requires = "logs")]
    pub once: bool,
    /// Print the summary of --once as JSON
    #[arg(long, requires = "once")]
    pub json: bool,
    #[command(flatten)]
    bus: BusArgs,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    topology: TopologyArgs,
    #[command(flatten)]
    processor: processor::Args,
    #[command(flatten)]
    tuning: Tuning,
    #[command(flatten)]
    access: access::Args,
    #[command(flatten)]
    coordinator: coordinator::Args,
    #[command(flatten)]
    mcp_api: mcp_api::Args,
    #[command(flatten)]
    worker: worker::Args,
    /// Address of /healthz, /readyz and /metrics; port 0 takes a free one
    #[arg(
        long,
        env = "COWRIESTREAM_HEALTH_LISTEN",
        default_value = "127.0.0.1:0",
        value_name = "ADDRESS:PORT"
    )]
    health_listen: SocketAddr,
    /// URL of a running Redis
    #[arg(long, env = "REDIS_URL", value_name = "URL", hide_env_values = true)]
    redis_url: Option<String>,
}

/// What `--once` prints.
#[derive(Debug, Serialize)]
struct Done {
    #[serde(flatten)]
    read: Summary,
    /// Files that could not be read, or not to their ends.
    problems: Vec<loader::Problem>,
    sensors: Vec<store::status::SensorStatus>,
    data_dir: String,
}

/// Starts the servers, runs the roles, and finally stops the servers, also after an error.
pub async fn run(args: Args, tasks: Tasks) -> anyhow::Result<()> {
    worker::name(&args.worker)?;
    let data = DataDir::take(&args.data_dir)?;
    let wanted = Wanted {
        nats: args.bus.nats_url.is_none(),
        postgres: args.store.database_url.is_none(),
        redis: args.redis_url.is_none(),
    };
    tracing::info!(data = %data.path().display(), "starting");
    let cowrie = if args.honeypot { Some(cowrie(&args, &data, &tasks).await?) } else { None };
    let mut servers = Servers::start(&data, wanted).await?;
    let honeypot = match &cowrie {
        Some(cowrie) => match servers.add_honeypot(&data, cowrie).await {
            Ok(honeypot) => Some(honeypot),
            Err(error) => {
                servers.stop().await;
                return Err(error);
            }
        },
        None => None,
    };
    let urls = servers.urls.clone();
    let mut args = args;
    args.bus.nats_url = args.bus.nats_url.or(urls.nats);
    args.store.database_url = args.store.database_url.or(urls.database);
    args.redis_url = args.redis_url.or(urls.redis);
    // The servers must outlive the roles, so that these can finish their work.
    let stopped = boot::CancellationToken::new();
    let roles = tasks.start(roles(args, data, honeypot, tasks.group()));
    let supervised = tokio::select! {
        biased;
        outcome = servers.supervise(&stopped) => Err(outcome.err().unwrap_or_else(|| anyhow::anyhow!("supervision ended early"))),
        outcome = roles.result() => Ok(outcome),
    };
    let outcome = match supervised {
        Ok(outcome) => outcome.and_then(|outcome| outcome),
        Err(error) => Err(error),
    };
    tasks.stop().cancel();
    servers.stop().await;
    outcome
}

/// Finds the Cowrie to run. The first start installs it; a stop interrupts the installation.
async fn cowrie(args: &Args, data: &DataDir, tasks: &Tasks) -> anyhow::Result<Cowrie> {
    let stop = tasks.stop();
    tokio::select! {
        biased;
        () = stop.cancelled() => anyhow::bail!("stopped while Cowrie was being installed; the next start begins again"),
        cowrie = Cowrie::find(data, &args.cowrie_version) => cowrie,
    }
}

async fn roles(
    mut args: Args,
    data: DataDir,
    honeypot: Option<Honeypot>,
    tasks: Tasks,
) -> anyhow::Result<()> {
    let bus = Bus::connect(&args.bus, "up").await?;
    let store = Store::connect(&args.store).await?;
    store.migrate().await?;
    bus.provision(&args.topology).await?;
    let health = Health::default();
    ready::probe_servers(&health, &bus, &store, &tasks);
    let listening = health.serve(&HealthArgs { health_listen: args.health_listen }, &tasks).await?;
    // The processor ends after the loader, so that messages in flight still get receipts.
    let working = tasks.detached();
    let parts = processor::Parts {
        bus: bus.clone(),
        store: store.clone(),
        topology: args.topology.clone(),
        health: health.clone(),
        tasks: working.clone(),
    };
    processor::start(&args.processor, parts.clone()).await?;
    let (serving, key) = match args.once {
        true => (None, None),
        false => {
            let key = match args.access.open {
                true => None,
                false => Some(admin_key::find_or_create(&store, &data).await?),
            };
            (Some(serving_roles(&args, parts).await?), key)
        }
    };
    let env = Env { listening, serving, key };
    let Some(env) = write_env(&args, &data, env, honeypot.as_ref(), &tasks).await? else {
        working.stop().cancel();
        working.ended().await;
        return Ok(());
    };
    tracing::info!(env = %env.display(), "ready: `set -a; . {}` lets psql, nats and redis-cli connect", boot::quoted(&env));
    if let Some(honeypot) = &honeypot {
        let others = !args.logs.is_empty();
        args.logs.push(LogSpec {
            sensor: Some(args.sensor.clone()),
            pattern: honeypot.log.to_string_lossy().into_owned(),
        });
        show(honeypot, others, &bus, &tasks).await?;
    }
    let outcome = if args.logs.is_empty() {
        tasks.stop().cancelled().await;
        Ok(())
    } else {
        load(&args, &data, &bus, &store, &health, &tasks).await
    };
    working.stop().cancel();
    working.ended().await;
    outcome
}

/// Prints how to try the honeypot, and prints live events from then on.
async fn show(honeypot: &Honeypot, with_sensor: bool, bus: &Bus, tasks: &Tasks) -> anyhow::Result<()> {
    let live = tail::Live::begin(bus, with_sensor).await?;
    boot::say!("{}", honeypot.invitation());
    tasks.spawn("live events", live.print(tasks.stop()));
    Ok(())
}

/// The addresses of the roles that serve requests.
struct Serving {
    coordinator: coordinator::Listening,
    mcp_api: SocketAddr,
}

/// Starts a coordinator, a worker and an mcp-api.
async fn serving_roles(args: &Args, parts: processor::Parts) -> anyhow::Result<Serving> {
    let processor::Parts { bus, store, topology, health, tasks } = parts;
    let parts = worker::Parts {
        bus: bus.clone(),
        store: store.clone(),
        health: health.clone(),
        tasks: tasks.clone(),
    };
    let wanted = coordinator::Args { or_any_port: true, ..args.coordinator.clone() };
    let redis_url = args.redis_url.clone();
    let access = Access::start(&args.access, &store, redis_url.as_deref(), &tasks)?;
    let api = mcp_api::Parts {
        store: store.clone(),
        access: access.clone(),
        health: health.clone(),
        tasks: tasks.clone(),
    };
    let hub = coordinator::Parts { bus, store, access, redis_url, topology, health, tasks };
    let coordinator = coordinator::start(&wanted, hub).await?;
    worker::start(&args.worker, parts).await?;
    let wanted = mcp_api::Args { or_any_port: true, ..args.mcp_api.clone() };
    let mcp_api = mcp_api::start(&wanted, api).await?;
    Ok(Serving { coordinator, mcp_api })
}

/// What `env` says beside the addresses of the servers.
struct Env {
    listening: SocketAddr,
    serving: Option<Serving>,
    key: Option<Key>,
}

/// Writes the file `env`. Retries while the disk is full or read-only; `None` when stopped meanwhile.
async fn write_env(
    args: &Args,
    data: &DataDir,
    env: Env,
    honeypot: Option<&Honeypot>,
    tasks: &Tasks,
) -> anyhow::Result<Option<PathBuf>> {
    let Env { listening, serving, key } = env;
    let value = |url: &Option<String>| url.clone().unwrap_or_default();
    let mut values = vec![
        ("DATABASE_URL", value(&args.store.database_url)),
        ("NATS_URL", value(&args.bus.nats_url)),
        ("REDIS_URL", value(&args.redis_url)),
        ("HEALTH_URL", format!("http://{listening}")),
    ];
    if let Some(Serving { coordinator, mcp_api }) = serving {
        values.extend([
            ("COORDINATOR_URL", format!("http://{}", coordinator.rest)),
            ("GRPC_URL", format!("http://{}", coordinator.grpc)),
            ("API_URL", format!("http://{mcp_api}")),
        ]);
    }
    values.extend(key.iter().map(|key| ("API_KEY", key.reveal().to_owned())));
    values.extend(honeypot.into_iter().flat_map(Honeypot::addresses));
    let (mut warned, stop) = (false, tasks.stop());
    while !stop.is_cancelled() {
        match data.write_env(&values) {
            Ok(path) => return Ok(Some(path)),
            Err(error) if !std::mem::replace(&mut warned, true) => {
                tracing::warn!(error = format!("{error:#}"), "could not write the file env; will retry")
            }
            Err(_) => (),
        }
        tokio::select! {
            () = stop.cancelled() => (),
            () = tokio::time::sleep(ENV_PAUSE) => (),
        }
    }
    Ok(None)
}

/// Runs the loader until stop. With `--once`, runs it until everything is committed, and prints the summary.
async fn load(
    args: &Args,
    data: &DataDir,
    bus: &Bus,
    store: &Store,
    health: &Health,
    tasks: &Tasks,
) -> anyhow::Result<()> {
    let loader_args = loader::Args {
        logs: args.logs.clone(),
        sensor: Some(args.sensor.clone()),
        // The loader creates it, and retries while the disk is full.
        state_dir: data.join("loader"),
        once: args.once,
        expand_arrays: false,
        tuning: args.tuning.clone(),
    };
    let loader = Loader::start(&loader_args, bus, tasks).await?;
    loader.report_to(health);
    let statistics = loader.statistics.clone();
    // If every event of the only sensor is printed, their number need not be logged.
    let reporting = (!args.honeypot || args.logs.len() > 1)
        .then(|| tasks.start(report(statistics.clone(), args.once, tasks.stop())));
    let finished = loader.finish().await;
    if let Some(reporting) = reporting {
        reporting.abort();
    }
    if !finished? {
        anyhow::ensure!(!args.once, "stopped before everything was committed; start again to continue");
        return Ok(());
    }
    processor::settle(store, bus).await.context("close and summarise sessions")?;
    let mut connection = store.connection().await?;
    let done = Done {
        read: Loader::summary(&statistics),
        problems: statistics.iter().flat_map(|(_, one)| one.problems()).collect(),
        sensors: store::status::sensors(&mut connection).await?,
        data_dir: data.path().display().to_string(),
    };
    print(&done, args.json)?;
    Loader::check_files(&statistics)
}

/// Logs the progress every few seconds.
async fn report(statistics: Vec<(SensorId, Arc<Statistics>)>, once: bool, stop: boot::CancellationToken) {
    let mut before = Summary::default();
    while !stop.is_cancelled() {
        tokio::time::sleep(if once { Duration::from_secs(2) } else { REPORT }).await;
        let now = Loader::summary(&statistics);
        if now != before {
            tracing::info!(
                events = now.events,
                new = now.events - before.events,
                dead_letters = now.dead_letters,
                lag_bytes = now.lag_bytes,
                "loading"
            );
        }
        before = now;
    }
}

fn print(done: &Done, json: bool) -> anyhow::Result<()> {
    if json {
        boot::say!("{}", serde_json::to_string(done)?);
        return Ok(());
    }
    let read = &done.read;
    boot::say!(
        "read {} bytes of {} files = {} in {} events + {} in {} dead letters + {} skipped (blank, NUL)",
        read.bytes,
        read.files,
        read.event_bytes,
        read.events,
        read.dead_bytes,
        read.dead_letters,
        read.skipped_bytes
    );
    for problem in &done.problems {
        boot::say!("  {}", boot::safe(&problem.to_string()));
    }
    boot::say!("in Postgres now:");
    for sensor in &done.sensors {
        boot::say!(
            "  {}: {} events, {} sessions, {} dead letters; {} duplicates absorbed",
            sensor.sensor,
            sensor.events,
            sensor.sessions,
            sensor.dead_letters,
            sensor.duplicates
        );
    }
    let data_dir = boot::quoted(done.data_dir.as_ref());
    boot::say!("kept in {data_dir}; `cowriestream up --data-dir {data_dir}` serves it");
    Ok(())
}
