//! Access for every interface: verifies keys against Postgres, limits their requests through Redis, and writes the
//! audit log. REST and gRPC of every service call the same [`Access`].
//!
//! **Invariant**: no request is let in because a server is away, except one with a key that Postgres confirmed within
//! the last minute. A key that was revoked, or that expired, is refused within 5 s by every process that reaches
//! Postgres.

mod audit;
mod cache;
mod keys;
mod limits;
mod metrics;
mod quota;
mod streams;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::bail;
use boot::{CancellationToken, Tasks};
use store::{Store, keys::KeyRow};
use web::{Class, Code, Granted, Open, Principal, Problem, Verify, Wanted};

pub use self::keys::{Created, KeyState, KeyView, Wish, create, rotate};
use self::{
    audit::AuditLog,
    cache::{Cache, Found},
    limits::Limits,
    quota::Quotas,
    streams::Streams,
};
pub use web::{Key, Scope};

/// How often the keys of open streams are looked at.
const RECHECK: Duration = Duration::from_secs(1);

/// The settings of access.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Args {
    /// Check no keys: everyone who reaches the interfaces may do everything. Only on loopback addresses
    #[arg(long, env = "COWRIESTREAM_OPEN")]
    pub open: bool,
    /// Requests per minute that a key may send to read, over all processes that share a Redis
    #[arg(long, env = "COWRIESTREAM_READS_PER_MINUTE", default_value_t = 60_000, value_parser = clap::value_parser!(u32).range(1..=60_000_000), value_name = "N")]
    pub reads_per_minute: u32,
    /// Requests per minute that a key may send to change something
    #[arg(long, env = "COWRIESTREAM_WRITES_PER_MINUTE", default_value_t = 60_000, value_parser = clap::value_parser!(u32).range(1..=60_000_000), value_name = "N")]
    pub writes_per_minute: u32,
    /// Streams (of events, of a job's status) that a key may open per minute
    #[arg(long, env = "COWRIESTREAM_STREAMS_PER_MINUTE", default_value_t = 6_000, value_parser = clap::value_parser!(u32).range(1..=60_000_000), value_name = "N")]
    pub streams_per_minute: u32,
    /// Streams that a key may have at a time in each process
    #[arg(long, env = "COWRIESTREAM_STREAMS_PER_KEY", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000), value_name = "N")]
    pub streams_per_key: u32,
}

impl Default for Args {
    /// As on the command line.
    fn default() -> Self {
        Self {
            open: false,
            reads_per_minute: 60_000,
            writes_per_minute: 60_000,
            streams_per_minute: 6_000,
            streams_per_key: 100,
        }
    }
}

/// Verifies requests. Cheap to clone; one per process, for all of its interfaces.
#[derive(Clone)]
pub struct Access(Option<Arc<Keys>>);

/// Access with keys.
struct Keys {
    store: Store,
    cache: Cache,
    limits: Limits,
    quotas: Quotas,
    streams: Streams,
    audit: AuditLog,
}

impl Access {
    /// Without a Redis, the limits of a key hold for each process alone.
    pub fn start(args: &Args, store: &Store, redis_url: Option<&str>, tasks: &Tasks) -> anyhow::Result<Self> {
        if args.open {
            return Ok(Self(None));
        }
        metrics::describe();
        let keys = Arc::new(Keys {
            store: store.clone(),
            cache: Cache::new(store.clone()),
            limits: Limits::new(args, redis_url)?,
            quotas: Quotas::new(store.clone()),
            streams: Streams::new(args.streams_per_key),
            audit: AuditLog::start(store.clone(), tasks),
        });
        tasks.spawn("streams of revoked keys", recheck(keys.clone(), tasks.stop()));
        Ok(Self(Some(keys)))
    }

    /// Refuses to serve other machines without keys.
    pub async fn check(&self, addresses: &[SocketAddr]) -> anyhow::Result<()> {
        let public = addresses.iter().find(|address| !address.ip().to_canonical().is_loopback());
        let any = match &self.0 {
            Some(keys) => store::keys::any_valid(&mut *keys.store.connection().await?).await?,
            None => true,
        };
        let Some(public) = public else {
            if !any {
                tracing::warn!(
                    "there is no API key, so every request is refused: `cowriestream keys create` makes one"
                );
            }
            return Ok(());
        };
        if self.0.is_none() {
            bail!(
                "{public} is reachable from other machines, and --open (COWRIESTREAM_OPEN) is for loopback only: leave it out, and create a key with `cowriestream keys create --name admin --scopes admin`"
            );
        }
        if !any {
            bail!(
                "{public} is reachable from other machines, and there is no API key: create one with `cowriestream keys create --name admin --scopes admin`, or listen on 127.0.0.1"
            );
        }
        Ok(())
    }

    /// Adds a line to the audit log: this principal did this. Written within a second.
    pub async fn record(&self, principal: &Principal, action: &'static str, target: String, detail: String) {
        if let Some(keys) = &self.0 {
            keys.audit.done(principal, action, target, detail).await;
        }
    }
}

impl Verify for Access {
    async fn verify(&self, wanted: Wanted<'_>) -> Result<Granted, Problem> {
        let Some(keys) = &self.0 else { return Open.verify(wanted).await };
        match keys.admit(&wanted).await {
            Ok(granted) => Ok(granted),
            Err(Refused { who, problem }) => {
                keys.audit.denied(who, &wanted, &problem);
                Err(problem)
            }
        }
    }
}

/// A request that is refused, and by whom it was sent as far as is known.
struct Refused {
    who: String,
    problem: Problem,
}

impl Keys {
    async fn admit(&self, wanted: &Wanted<'_>) -> Result<Granted, Refused> {
        let refuse = |who: &str, problem| Refused { who: who.to_owned(), problem };
        let wrong = |who: &str, detail| refuse(who, Problem::new(Code::Unauthenticated, detail));
        let credential = wanted.credential.clone().map_err(|problem| refuse("unknown", problem))?;
        let Some(text) = credential else {
            return Err(wrong("nobody", "expected X-API-Key: KEY or Authorization: Bearer KEY"));
        };
        let key = Key::parse(text).map_err(|_| wrong("unknown", "this is not a key: csk_…"))?;
        let unverified = format!("unknown ({})", key.id());
        let row = match self.cache.find(&key, wanted.from).await {
            Found::Key(row) => row,
            Found::Unknown => return Err(wrong(&unverified, "there is no such key")),
            Found::TooMany(after) => {
                let problem = Problem::too_many("too many unknown keys from this address", after, Vec::new());
                return Err(refuse(&unverified, problem));
            }
            Found::Away => {
                let problem = Problem::unavailable("the key cannot be checked now: the database is away");
                return Err(refuse(&unverified, problem));
            }
        };
        let who = audit::who(&row.name, &row.key_id);
        if !row.is_valid(boot::now()) {
            let why = if row.revoked_at.is_some() { "this key was revoked" } else { "this key has expired" };
            return Err(wrong(&who, why));
        }
        self.grant(&row, wanted).await.map_err(|problem| refuse(&who, problem))
    }

    /// Checks what a valid key may do, the cheap checks first.
    async fn grant(&self, row: &KeyRow, wanted: &Wanted<'_>) -> Result<Granted, Problem> {
        let principal = principal(row, wanted);
        if let Some(scope) = wanted.operation.scope {
            principal.require(scope)?;
        }
        let mut limits = vec![self.limits.take(&row.key_id, wanted.operation.class).await?];
        if let Some(quota) = row.daily_quota {
            limits.push(self.quotas.take(&row.key_id, quota).await?);
        }
        let stream = match wanted.operation.class {
            Class::Stream => Some(self.streams.open(&row.key_id)?),
            Class::Read | Class::Write => None,
        };
        Ok(Granted { principal, limits, stream })
    }
}

fn principal(row: &KeyRow, wanted: &Wanted<'_>) -> Principal {
    let mut scopes: Vec<_> = row.scopes.iter().filter_map(|name| Scope::read(name)).collect();
    if scopes.contains(&Scope::Admin) {
        scopes = Scope::ALL.to_vec();
    }
    Principal {
        id: row.key_id.clone(),
        name: row.name.clone(),
        scopes,
        sensors: row.sensors.clone(),
        from: wanted.from,
    }
}

/// Ends the streams of keys that are no longer valid.
async fn recheck(keys: Arc<Keys>, stop: CancellationToken) -> anyhow::Result<()> {
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(RECHECK) => (),
        }
        for key_id in keys.streams.keys() {
            // While Postgres is away, streams go on for as long as requests do.
            if !keys.cache.is_valid(&key_id).await {
                keys.streams.end(&key_id);
            }
        }
    }
}
