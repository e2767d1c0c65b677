//! Takes jobs over gRPC and REST, watches over those who run them, and mirrors their status to Redis.
//!
//! **Invariant**: a job is answered for only after it is committed; any number of coordinators may run, and
//! what only one may do is done under a lease.

mod convert;
mod desk;
mod duties;
mod grpc;
mod guard;
mod mirror;
mod problem;
mod rest;
mod routing;
mod schedules;
mod submissions;
mod watch;

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use anyhow::Context as _;
use boot::{Health, Tasks};
use bus::{Bus, topology::TopologyArgs};
use store::Store;
use tokio::sync::Notify;

pub use desk::Desk;

/// What the coordinator may be told.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Args {
    /// Address of the REST interface; port 0 takes a free one
    #[arg(
        long,
        alias = "coordinator-listen",
        env = "COWRIESTREAM_REST_LISTEN",
        default_value = "127.0.0.1:8082",
        value_name = "ADDRESS:PORT"
    )]
    pub rest_listen: SocketAddr,
    /// Address of the gRPC interface; port 0 takes a free one
    #[arg(
        long,
        env = "COWRIESTREAM_GRPC_LISTEN",
        default_value = "127.0.0.1:50051",
        value_name = "ADDRESS:PORT"
    )]
    pub grpc_listen: SocketAddr,
    /// Further hosts that REST is served as, e.g. behind a proxy or in a cluster: host or host:port. Loopback
    /// names and the listen address always are
    #[arg(long, env = "COWRIESTREAM_ALLOWED_HOSTS", value_delimiter = ',', value_name = "HOST[:PORT]")]
    pub allowed_hosts: Vec<String>,
    /// Another port when that one is taken: for `up`, of which several may run on a machine.
    #[arg(skip)]
    pub or_any_port: bool,
    /// Schedules (YAML): see docs/JOBS.md
    #[arg(long, env = "COWRIESTREAM_SCHEDULES", value_name = "FILE")]
    pub schedules: Option<PathBuf>,
    /// Days that the status of an ended job stays in Redis
    #[arg(long, env = "COWRIESTREAM_MIRROR_DAYS", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=365), value_name = "DAYS")]
    pub mirror_days: u32,
    /// Days that an ended job stays in Postgres, with its result; for ever without it
    #[arg(long, env = "COWRIESTREAM_JOBS_DAYS", value_parser = clap::value_parser!(u32).range(1..=36500), value_name = "DAYS")]
    pub jobs_days: Option<u32>,
}

/// Where it listens.
#[derive(Clone, Copy, Debug)]
pub struct Listening {
    /// REST.
    pub rest: SocketAddr,
    /// gRPC.
    pub grpc: SocketAddr,
}

/// Starts a coordinator; it runs until `tasks` stop. Streams and schema must exist. Without a Redis there is
/// no mirror.
pub async fn start(
    args: &Args,
    redis_url: Option<&str>,
    topology: &TopologyArgs,
    bus: Bus,
    store: Store,
    health: &Health,
    tasks: &Tasks,
) -> anyhow::Result<Listening> {
    store.check_schema().await?;
    if let Some(file) = &args.schedules {
        schedules::load(&store, file).await?;
    }
    let changed = Arc::new(Notify::new());
    let desk = Desk {
        submissions: submissions::open(store.clone(), bus.clone(), changed.clone(), tasks),
        store: store.clone(),
        bus: bus.clone(),
        changed,
        stop: tasks.stop(),
    };
    let connected = bus.clone();
    health.needs("broker", move || connected.connected());
    let rest = listen(args.rest_listen, args.or_any_port)
        .await
        .with_context(|| format!("listen on {} (COWRIESTREAM_REST_LISTEN)", args.rest_listen))?;
    let grpc = listen(args.grpc_listen, args.or_any_port)
        .await
        .with_context(|| format!("listen on {} (COWRIESTREAM_GRPC_LISTEN)", args.grpc_listen))?;
    let listening = Listening { rest: rest.local_addr()?, grpc: grpc.local_addr()? };
    let guard = guard::Guard::new(listening.rest, &args.allowed_hosts);
    tasks.spawn("rest", rest::serve(rest, desk.clone(), guard, tasks.clone()));
    tasks.spawn("grpc", grpc::serve(grpc, desk.clone()));
    tasks.spawn("duties", duties::lead(desk.clone(), topology.clone(), args.jobs_days, tasks.stop()));
    if let Some(url) = redis_url {
        tasks.spawn("mirror", mirror::mirror(mirror::open(url)?, desk, args.mirror_days, tasks.stop()));
    }
    Ok(listening)
}

async fn listen(mut address: SocketAddr, or_any_port: bool) -> std::io::Result<tokio::net::TcpListener> {
    let listener = tokio::net::TcpListener::bind(address).await;
    if or_any_port && listener.is_err() {
        address.set_port(0);
        return tokio::net::TcpListener::bind(address).await;
    }
    listener
}
