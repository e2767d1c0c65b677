//! Takes jobs over gRPC and REST, takes them from dead workers, fires schedules, and mirrors the status of
//! jobs to Redis.
//!
//! **Invariant**: a submission is answered only after it is committed; any number of coordinators may run,
//! and the duties of which only one may run need a lease.

mod duties;
mod grpc;
mod keys;
mod metrics;
mod mirror;
mod permits;
mod problem;
mod queues;
mod rest;
mod routing;
mod schedules;
mod service;
mod submissions;
mod views;
mod watch;
mod workers;

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use access::Access;
use anyhow::Context as _;
use boot::{Health, Tasks};
use bus::{Bus, topology::TopologyArgs};
use store::Store;
use tokio::sync::Notify;
use web::{Guard, listen};

use crate::{duties::Keep, permits::Permits, service::Service};

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
    /// names and the listen address are always served
    #[arg(long, env = "COWRIESTREAM_ALLOWED_HOSTS", value_delimiter = ',', value_name = "HOST[:PORT]")]
    pub allowed_hosts: Vec<String>,
    /// Takes a free port when the address is in use: several `up` may run on one machine.
    #[arg(skip)]
    pub or_any_port: bool,
    /// Schedules (YAML): see docs/JOBS.md
    #[arg(long, env = "COWRIESTREAM_SCHEDULES", value_name = "FILE")]
    pub schedules: Option<PathBuf>,
    /// Days that the status of an ended job stays in Redis
    #[arg(long, env = "COWRIESTREAM_MIRROR_DAYS", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=365), value_name = "DAYS")]
    pub mirror_days: u32,
    /// Days that an ended job stays in Postgres, with its result; default: unlimited
    #[arg(long, env = "COWRIESTREAM_JOBS_DAYS", value_parser = clap::value_parser!(u32).range(1..=36500), value_name = "DAYS")]
    pub jobs_days: Option<u32>,
    /// Days that the lines of the audit log stay in Postgres
    #[arg(long, env = "COWRIESTREAM_AUDIT_DAYS", default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=36500), value_name = "DAYS")]
    pub audit_days: u32,
}

/// The addresses that the coordinator listens on.
#[derive(Clone, Copy, Debug)]
pub struct Listening {
    pub rest: SocketAddr,
    pub grpc: SocketAddr,
}

/// What a coordinator works with.
#[derive(Clone)]
pub struct Parts {
    pub bus: Bus,
    pub store: Store,
    /// Checks the keys of REST and gRPC.
    pub access: Access,
    /// Without a Redis there is no mirror.
    pub redis_url: Option<String>,
    pub topology: TopologyArgs,
    pub health: Health,
    pub tasks: Tasks,
}

/// Starts a coordinator; it runs until its tasks stop. Streams and schema must exist.
pub async fn start(args: &Args, parts: Parts) -> anyhow::Result<Listening> {
    let Parts { bus, store, access, redis_url, topology, health, tasks } = parts;
    metrics::describe();
    store.check_schema().await?;
    access.check(&[args.rest_listen, args.grpc_listen]).await?;
    if let Some(file) = &args.schedules {
        schedules::load(&store, file).await?;
    }
    let changed = Arc::new(Notify::new());
    let permits = Permits::new(bus.clone());
    let service = Service {
        submissions: submissions::open(store.clone(), permits.clone(), changed.clone(), &tasks),
        permits,
        store: store.clone(),
        bus: bus.clone(),
        access: access.clone(),
        changed,
        feed: Arc::default(),
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
    let guard = Guard::new(listening.rest, &args.allowed_hosts);
    let app = rest::app(service.clone(), guard, access.clone());
    let serving = tasks.clone();
    tasks.spawn("rest", async move { web::serve(rest, "rest", app, &serving).await });
    tasks.spawn("grpc", grpc::serve(grpc, service.clone(), access));
    tasks.spawn("duties", duties::lead(service.clone(), topology, Keep::of(args), tasks.stop()));
    tasks.spawn("watch", watch::run(service.clone(), tasks.stop()));
    if let Some(url) = &redis_url {
        let writer = ::mirror::Writer::new(url, args.mirror_days)?;
        tasks.spawn("mirror", mirror::write(writer, service, args.mirror_days, tasks.stop()));
    }
    Ok(listening)
}
