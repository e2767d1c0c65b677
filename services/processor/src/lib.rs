//! Writes what the streams deliver into Postgres, exactly once.
//!
//! **Invariant**: a message is acknowledged only after the transaction that holds everything it means has
//! committed.

mod answers;
mod ingest;
mod keep;
mod leader;
mod metrics;
mod position;
mod prepare;
mod relay;
mod rollup;
pub mod rules;
pub mod signals;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use boot::{Health, Tasks};
use bus::{Bus, Limits, StreamMark, topology::TopologyArgs};
use store::Store;
use tokio::sync::{Notify, RwLock, watch};

pub use keep::{Kept, Windows, day, keep};
pub use prepare::{Content, Prepared};
pub use relay::settle;
pub use rollup::Retention;

#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Args {
    /// Most events in one transaction; batches are as small as the backlog allows
    #[arg(long, env = "COWRIESTREAM_BATCH", default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..=50_000), value_name = "N")]
    pub batch: u32,
    /// Most bytes of log lines in one transaction
    #[arg(long, env = "COWRIESTREAM_BATCH_BYTES", default_value_t = 16 << 20, value_parser = clap::value_parser!(u64).range(1 << 20..=1 << 30), value_name = "BYTES")]
    pub batch_bytes: u64,
    /// Number of concurrent transactions: while one commits, another reads and prepares
    #[arg(long, env = "COWRIESTREAM_WRITERS", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=16), value_name = "N")]
    pub writers: u32,
    /// Most bytes of dead letters kept per sensor; the oldest are emptied first and keep their length and hash
    #[arg(long, env = "COWRIESTREAM_DEAD_LETTERS_MAX_BYTES", default_value_t = 256 << 20, value_parser = clap::value_parser!(u64).range(0..=1 << 40), value_name = "BYTES")]
    pub dead_letters_max_bytes: u64,
    /// How long panes are kept
    #[command(flatten)]
    pub retention: Retention,
    /// Rules of live signals (TOML); without it, a default set: `cowriestream rules` shows it
    #[arg(long, env = "COWRIESTREAM_RULES", value_name = "FILE")]
    pub rules: Option<PathBuf>,
    /// Leave windows and features empty, to measure what they cost; `verify` reports it
    #[arg(long, env = "COWRIESTREAM_WITHOUT_PANES", hide = true)]
    pub without_panes: bool,
}

#[derive(Clone)]
pub(crate) struct Shared {
    pub bus: Bus,
    pub store: Store,
    pub topology: TopologyArgs,
    pub limits: Limits,
    pub dead_letters_max_bytes: i64,
    pub windows: Windows,
    pub live: signals::Live,
    /// Notified when a message was queued in the outbox.
    pub queued: Arc<Notify>,
    /// Locked for reading while the consumers are bound here, for writing while one is recreated. A message
    /// that an old binding pulled from the new consumer would be lost to everybody until the acknowledgement
    /// wait is over.
    pub bound: Arc<RwLock<()>>,
    /// Asks the ingest to release the consumers.
    pub release: Arc<Notify>,
    /// Recorded positions of EVENTS and DEAD, which receipts carry.
    marks: Arc<Mutex<[Option<StreamMark>; 2]>>,
}

impl Shared {
    pub fn marks(&self) -> [Option<StreamMark>; 2] {
        *self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set_mark(&self, stream: &str, mark: StreamMark) {
        let index = usize::from(stream == bus::topology::DEAD);
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)[index] = Some(mark);
    }
}

/// What a processor works with.
#[derive(Clone)]
pub struct Parts {
    pub bus: Bus,
    pub store: Store,
    pub topology: TopologyArgs,
    pub health: Health,
    pub tasks: Tasks,
}

/// Starts a processor, which runs until its tasks stop. The streams and the schema must exist.
pub async fn start(args: &Args, parts: Parts) -> anyhow::Result<()> {
    let Parts { bus, store, topology, health, tasks } = parts;
    metrics::describe();
    store.check_schema().await?;
    let rules = rules::Rules::load(args.rules.as_deref())?;
    let shared = Shared {
        limits: Limits {
            messages: args.batch as usize,
            bytes: usize::try_from(args.batch_bytes)?,
            patience: Duration::from_millis(50),
        },
        dead_letters_max_bytes: i64::try_from(args.dead_letters_max_bytes)?,
        bus,
        store,
        topology,
        windows: if args.without_panes { Windows::Skipped } else { Windows::Kept },
        live: signals::Live::of(&rules),
        queued: Arc::default(),
        bound: Arc::default(),
        release: Arc::default(),
        marks: Arc::default(),
    };
    let connected = shared.bus.clone();
    health.needs("broker", move || connected.connected());
    let positions = position::join(&shared).await?;
    health.needs("database", positions.database());
    let (sender, lease) = watch::channel(None);
    tasks.spawn("leader", leader::lead(shared.store.clone(), sender, tasks.stop()));
    tasks
        .spawn("roll-up", rollup::roll_up(shared.store.clone(), args.retention, lease.clone(), tasks.stop()));
    tasks.spawn("signals", signals::judge(shared.clone(), rules, lease, tasks.stop()));
    tasks.spawn("positions", position::watch(shared.clone(), positions, tasks.stop()));
    tasks.spawn("answers", answers::answer(shared.clone(), tasks.stop()));
    tasks.spawn("relay", relay::relay(shared.clone(), tasks.stop()));
    tasks.spawn("sweep", relay::sweep(shared.clone(), tasks.stop()));
    tasks.spawn("ingest", ingest::ingest(shared, args.writers, tasks.stop()));
    Ok(())
}
