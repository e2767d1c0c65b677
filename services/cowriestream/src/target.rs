//! The broker and the database that a command connects to.

use std::path::Path;

use bus::BusArgs;
use store::StoreArgs;

use crate::hub::HubArgs;

/// URLs, or the data directory of a running `up`.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Target {
    #[command(flatten)]
    bus: BusArgs,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    hub: HubArgs,
}

impl Target {
    pub fn bus(&self) -> anyhow::Result<BusArgs> {
        Ok(BusArgs { nats_url: Some(self.hub.address("NATS_URL", &self.given())?), ..self.bus.clone() })
    }

    pub fn store(&self) -> anyhow::Result<StoreArgs> {
        let database_url = Some(self.hub.address("DATABASE_URL", &self.given())?);
        Ok(StoreArgs { database_url, database_connections: self.store.database_connections.min(4) })
    }

    pub fn data_dir(&self) -> &Path {
        self.hub.data_dir()
    }

    fn given(&self) -> [(&str, Option<&str>); 2] {
        [("NATS_URL", self.bus.nats_url.as_deref()), ("DATABASE_URL", self.store.database_url.as_deref())]
    }
}
