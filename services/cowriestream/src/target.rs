//! Which running system a command speaks to: the given URLs, or those that `up` wrote.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use bus::BusArgs;
use store::StoreArgs;

/// URLs, or the data directory of an `up` that runs.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Target {
    #[command(flatten)]
    bus: BusArgs,
    #[command(flatten)]
    store: StoreArgs,
    /// Where URLs that are not given are read from: the data directory of a running `cowriestream up`
    #[arg(long, env = "COWRIESTREAM_DATA_DIR", default_value = ".cowriestream", value_name = "DIR")]
    data_dir: PathBuf,
}

impl Target {
    /// The broker.
    pub fn bus(&self) -> anyhow::Result<BusArgs> {
        let mut bus = self.bus.clone();
        bus.nats_url = bus.nats_url.or_else(|| self.written("NATS_URL"));
        if bus.nats_url.is_none() {
            anyhow::bail!(
                "NATS_URL (or --nats-url) is not set, and {} names none: is `cowriestream up` running with that --data-dir?",
                self.data_dir.join("env").display()
            );
        }
        Ok(bus)
    }

    /// The database.
    pub fn store(&self) -> anyhow::Result<StoreArgs> {
        let mut store = self.store.clone();
        store.database_url = store.database_url.or_else(|| self.written("DATABASE_URL"));
        store.database_connections = store.database_connections.min(4);
        Ok(store)
    }

    /// The data directory.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    fn written(&self, name: &str) -> Option<String> {
        Self::written_in(&self.data_dir, name)
    }

    /// What the `env` of a data directory says.
    pub(crate) fn written_in(data_dir: &Path, name: &str) -> Option<String> {
        let text = fs::read_to_string(data_dir.join("env")).ok()?;
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        let values: HashMap<_, _> = pairs.map(|(name, value)| (name.trim(), value.trim().trim_matches('\''))).collect();
        values.get(name).map(|&value| value.to_owned())
    }
}
