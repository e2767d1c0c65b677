//! Fresh private servers for one measurement.

use std::{
    collections::BTreeMap,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use boot::{Health, Tasks};
use bus::{Bus, BusArgs, topology::TopologyArgs};
use servers::{DataDir, Servers, Wanted};
use store::{Store, StoreArgs};

use super::cpu::{self, Cpu};

/// NATS and Postgres as `up` runs them, with streams and schema.
pub struct Site {
    pub bus: Bus,
    pub store: Store,
    /// The directory of this measurement, deleted with it.
    pub dir: PathBuf,
    pub nats_url: String,
    pub database_url: String,
    servers: Servers,
    _data: DataDir,
}

impl Site {
    /// The parts of a processor on these servers.
    pub fn parts(&self, topology: &TopologyArgs, tasks: &Tasks) -> processor::Parts {
        processor::Parts {
            bus: self.bus.clone(),
            store: self.store.clone(),
            topology: topology.clone(),
            health: Health::default(),
            tasks: tasks.clone(),
        }
    }

    /// Starts servers in a fresh directory below `dir`.
    pub async fn start(dir: &Path, topology: &TopologyArgs) -> anyhow::Result<Self> {
        let dir = dir.join("site");
        std::fs::create_dir_all(&dir)?;
        // Postgres may run as another user.
        std::fs::set_permissions(&dir, PermissionsExt::from_mode(0o755))?;
        let data = DataDir::take(&dir.join("data"))?;
        let mut servers = Servers::start(&data, Wanted { nats: true, postgres: true, redis: false }).await?;
        let (nats_url, database_url) = (servers.urls.nats.clone(), servers.urls.database.clone());
        let connected = connect(&nats_url, database_url.clone(), topology).await;
        if connected.is_err() {
            servers.stop().await;
        }
        let (bus, store) = connected?;
        Ok(Self {
            bus,
            store,
            dir,
            nats_url: nats_url.unwrap_or_default(),
            database_url: database_url.unwrap_or_default(),
            servers,
            _data: data,
        })
    }

    /// Stops the servers and deletes their data.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.servers.stop().await;
        Ok(std::fs::remove_dir_all(&self.dir)?)
    }

    pub async fn versions(&self) -> anyhow::Result<BTreeMap<&'static str, String>> {
        let mut connection = self.store.connection().await?;
        let postgres: String = sqlx::query_scalar("select current_setting('server_version') || ', synchronous_commit ' || current_setting('synchronous_commit') || ', fsync ' || current_setting('fsync')")
            .fetch_one(&mut *connection)
            .await?;
        let nats = format!("{}, file storage, R1, default fsync interval", self.bus.server_version());
        Ok([("Postgres", postgres), ("NATS", nats), ("cowriestream", env!("CARGO_PKG_VERSION").to_owned())]
            .into())
    }

    /// Processor seconds spent so far.
    pub fn cpu(&self) -> Cpu {
        let of = |wanted: &str| {
            self.servers
                .processes()
                .into_iter()
                .filter(|(name, _)| *name == wanted)
                .map(|(_, pid)| cpu::seconds(pid))
                .sum()
        };
        let (nats, postgres) = (of("NATS"), of("Postgres"));
        // The servers are children of this process.
        Cpu { ours: cpu::seconds(std::process::id()) - nats - postgres, nats, postgres }
    }
}

async fn connect(
    nats_url: &Option<String>,
    database_url: Option<String>,
    topology: &TopologyArgs,
) -> anyhow::Result<(Bus, Store)> {
    let bus = Bus::connect(&BusArgs { nats_url: nats_url.clone(), nats_creds: None }, "loadtest").await?;
    let store = Store::connect(&StoreArgs { database_url, database_connections: 8 }).await?;
    store.migrate().await?;
    bus.provision(topology).await?;
    Ok((bus, store))
}
