//! Serves what is stored: statistics, sessions, single things, findings, search, over REST.
//!
//! **Invariant**: a request never scans `events`. Figures come from panes, sessions, side tables and their
//! indexes; only the timeline of one session reads events, by their index. A password leaves in full only for
//! a principal with the scope `secrets:read`, and a principal that is limited to sensors sees only these.

mod api;
mod features;
mod findings;
mod indicators;
mod network;
mod problem;
mod range;
mod redact;
mod rest;
mod search;
mod sessions;
mod statistics;
mod things;

use std::net::SocketAddr;

use access::Access;
use anyhow::Context as _;
use boot::{Health, Tasks};
use store::Store;
use web::{Guard, listen};

pub use crate::api::{Api, ReadingArgs};

#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Args {
    /// Address of the statistics API; port 0 takes a free one
    #[arg(
        long,
        env = "COWRIESTREAM_API_LISTEN",
        default_value = "127.0.0.1:8081",
        value_name = "ADDRESS:PORT"
    )]
    pub api_listen: SocketAddr,
    /// Further hosts that the statistics API is served as, e.g. behind a proxy or in a cluster: host or
    /// host:port. Loopback names and the listen address are always served
    #[arg(long, env = "COWRIESTREAM_ALLOWED_HOSTS", value_delimiter = ',', value_name = "HOST[:PORT]")]
    pub api_allowed_hosts: Vec<String>,
    /// Takes a free port when the address is in use: several `up` may run on one machine.
    #[arg(skip)]
    pub or_any_port: bool,
    #[command(flatten)]
    pub reading: ReadingArgs,
}

/// What an mcp-api works with.
#[derive(Clone)]
pub struct Parts {
    pub store: Store,
    /// Checks the keys.
    pub access: Access,
    pub health: Health,
    pub tasks: Tasks,
}

/// Starts an mcp-api, which runs until its tasks stop. The schema must exist. Returns its address.
pub async fn start(args: &Args, parts: Parts) -> anyhow::Result<SocketAddr> {
    let Parts { store, access, health: _, tasks } = parts;
    store.check_schema().await?;
    access.check(&[args.api_listen]).await?;
    let api = Api::open(&args.reading, &store, access.clone())?;
    tasks.spawn("replica", api.clone().watch_replica(tasks.stop()));
    let listener = listen(args.api_listen, args.or_any_port)
        .await
        .with_context(|| format!("listen on {} (COWRIESTREAM_API_LISTEN)", args.api_listen))?;
    let address = listener.local_addr()?;
    let guard = Guard::new(address, &args.api_allowed_hosts);
    let app = rest::app(api, guard, access);
    let serving = tasks.clone();
    tasks.spawn("rest", async move { web::serve(listener, "rest", app, &serving).await });
    Ok(address)
}
