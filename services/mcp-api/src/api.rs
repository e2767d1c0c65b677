//! Where requests meet the database: the primary, or a replica while it is fresh enough.

use std::{
    ops::DerefMut,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use access::Access;
use boot::CancellationToken;
use store::Store;
use tokio::time::{sleep, timeout};
use web::Problem;

use crate::problem::{away, failed};

/// A statement of a request ends after this time.
pub(crate) const STATEMENT_LIMIT: Duration = Duration::from_secs(7);
/// How long a request waits for a connection.
pub(crate) const CONNECTION_LIMIT: Duration = Duration::from_secs(2);
/// Pause between two looks at the replica.
const REPLICA_PAUSE: Duration = Duration::from_secs(1);
/// No answer of the replica within this time: it is away.
const REPLICA_LIMIT: Duration = Duration::from_secs(1);
/// The lag of a replica that is away or unknown.
const UNUSABLE: i64 = i64::MAX;

/// Where reads go, and how many at once.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct ReadingArgs {
    /// Read replica of Postgres. While it is away, or too far behind, the primary answers
    #[arg(long, env = "DATABASE_REPLICA_URL", value_name = "URL", hide_env_values = true)]
    pub database_replica_url: Option<String>,
    /// Seconds that the replica may be behind
    #[arg(long, env = "COWRIESTREAM_REPLICA_MAX_LAG", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=3600), value_name = "SECONDS")]
    pub replica_max_lag: u32,
    /// Connections of the statistics API to Postgres, and as many to the replica
    #[arg(long, env = "COWRIESTREAM_API_CONNECTIONS", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=200), value_name = "N")]
    pub api_connections: u32,
}

/// What answers requests. Each route, and each tool, is one function of it. Cheap to clone.
#[derive(Clone)]
pub struct Api {
    /// For writes: triage.
    pub(crate) store: Store,
    /// For the audit log.
    pub(crate) access: Access,
    /// Connections to the primary that cannot write.
    primary: Store,
    replica: Option<Replica>,
}

#[derive(Clone)]
struct Replica {
    store: Store,
    max_lag: i64,
    /// In milliseconds, as last measured.
    lag: Arc<AtomicI64>,
}

impl Api {
    pub(crate) fn open(args: &ReadingArgs, store: &Store, access: Access) -> anyhow::Result<Self> {
        let url = args.database_replica_url.as_deref();
        let replica = url
            .map(|url| Store::replica(url, args.api_connections, CONNECTION_LIMIT, STATEMENT_LIMIT))
            .transpose()?;
        let replica = replica.map(|store| Replica {
            store,
            max_lag: i64::from(args.replica_max_lag) * 1_000,
            lag: Arc::new(AtomicI64::new(UNUSABLE)),
        });
        let primary = store.reading(args.api_connections, CONNECTION_LIMIT, STATEMENT_LIMIT);
        Ok(Self { store: store.clone(), access, primary, replica })
    }

    /// Measures the lag of the replica until `stop`.
    pub(crate) async fn watch_replica(self, stop: CancellationToken) -> anyhow::Result<()> {
        let Some(replica) = self.replica else {
            stop.cancelled().await;
            return Ok(());
        };
        while !stop.is_cancelled() {
            let lag = timeout(REPLICA_LIMIT, replica.measure()).await;
            let lag = lag.ok().flatten().unwrap_or(UNUSABLE);
            let before = replica.lag.swap(lag, Ordering::Relaxed);
            if (before <= replica.max_lag) != (lag <= replica.max_lag) {
                let usable = lag <= replica.max_lag;
                tracing::info!(usable, "the read replica changed");
            }
            tokio::select! {
                () = stop.cancelled() => (),
                () = sleep(REPLICA_PAUSE) => (),
            }
        }
        Ok(())
    }

    /// Where a request is answered now, and how far that is behind the primary in milliseconds.
    pub(crate) fn answers_from(&self) -> (&'static str, i64) {
        match self.usable_replica() {
            Some((_, lag)) => ("replica", lag),
            None => ("primary", 0),
        }
    }

    fn usable_replica(&self) -> Option<(&Replica, i64)> {
        let replica = self.replica.as_ref()?;
        let lag = replica.lag.load(Ordering::Relaxed);
        (lag <= replica.max_lag).then_some((replica, lag))
    }

    /// A connection for a request that reads.
    pub(crate) async fn connection(
        &self,
    ) -> Result<impl DerefMut<Target = store::Connection> + use<>, Problem> {
        if let Some((replica, _)) = self.usable_replica() {
            match timeout(REPLICA_LIMIT, replica.store.connection()).await {
                Ok(Ok(connection)) => return Ok(connection),
                _ => replica.lag.store(UNUSABLE, Ordering::Relaxed),
            }
        }
        match timeout(CONNECTION_LIMIT, self.primary.connection()).await {
            Ok(connection) => connection.map_err(failed),
            Err(_) => Err(away()),
        }
    }
}

impl Replica {
    async fn measure(&self) -> Option<i64> {
        let mut connection = self.store.connection().await.ok()?;
        store::status::replica_lag(&mut connection).await.ok()
    }
}
