//! The connection pool, the schema, and the days that have a partition.

use std::{
    collections::BTreeSet,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, bail};
use chrono::NaiveDate;
use sqlx::{
    ConnectOptions, Connection as _, Executor as _, PgConnection, PgPool, Row as _,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::{Instant, sleep, timeout_at};

use crate::{Failure, Transaction};

/// Settings of every session. They are not sent as connection options, because poolers do not pass those on.
const SETTINGS: &str = "set statement_timeout = '30s'; set lock_timeout = '20s'; set timezone = 'UTC'; set jit = off; set work_mem = '32MB'";

/// The error text for a pooler in transaction mode: what is wrong, and what to do.
pub(crate) const POOLED: &str = "Postgres is reached through a pooler that changes the session with every transaction (PgBouncer with pool_mode = transaction or statement). \
    cowriestream needs sessions, for locks and prepared statements: name Postgres itself in DATABASE_URL, or a pool with pool_mode = session";
/// A start or a request gives up when the database is unavailable for this long.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Pause between attempts to connect at the start.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Address and connections of the database.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct StoreArgs {
    /// Postgres, e.g. postgres://user:password@127.0.0.1/cowriestream
    #[arg(long, env = "DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// Connections to Postgres per process; the jobs of a worker have half as many of their own
    #[arg(long, env = "COWRIESTREAM_DATABASE_CONNECTIONS", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=200), value_name = "N")]
    pub database_connections: u32,
}

/// How long retryable work waits for a connection. A job that has lost its database should not hold its slot
/// for longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A pool of connections, cheap to clone. A task that holds a connection must not wait for a second one: such
/// tasks could all wait for each other.
#[derive(Clone)]
pub struct Store {
    pool: PgPool,
    /// Contains the password.
    url: Arc<str>,
    days: Arc<Mutex<BTreeSet<NaiveDate>>>,
    /// The connection of [`Self::answers`]. It is outside the pool, because the pool may be exhausted while
    /// the database answers.
    probe: Arc<tokio::sync::Mutex<Option<PgConnection>>>,
}

impl Store {
    /// Connects, waiting up to 10 s for the database.
    pub async fn connect(args: &StoreArgs) -> anyhow::Result<Self> {
        let url = args.database_url.as_deref();
        let url = url.context("DATABASE_URL (or --database-url) is not set: expected e.g. postgres://user:password@127.0.0.1/cowriestream")?;
        let options = PgConnectOptions::from_str(url)
            .context("read DATABASE_URL: expected e.g. postgres://user:password@127.0.0.1/cowriestream")?
            .application_name("cowriestream")
            // A pooler refuses startup parameters that it does not know.
            .extra_float_digits(None)
            // Otherwise sqlx logs a slow migration as a warning with all of its SQL.
            .disable_statement_logging();
        let first = first_connection(&options).await.with_context(|| {
            format!("connect to Postgres at {}:{}", options.get_host(), options.get_port())
        })?;
        let pool = pool(options, args.database_connections, CONNECT_LIMIT);
        Ok(Self {
            pool,
            url: url.into(),
            days: Arc::default(),
            probe: Arc::new(tokio::sync::Mutex::new(Some(first))),
        })
    }

    /// Returns a store with connections of its own to the same database. Work that holds connections for long
    /// then does not block the rest of the process.
    pub fn separate(&self, connections: u32) -> Self {
        let pool = pool((*self.pool.connect_options()).clone(), connections, PATIENCE);
        Self { pool, url: self.url.clone(), days: Arc::default(), probe: Arc::default() }
    }

    /// Returns a store for requests: connections of its own to the same database, which cannot write and whose
    /// statements end after `limit`. A request waits at most `patience` for a connection.
    pub fn reading(&self, connections: u32, patience: Duration, limit: Duration) -> Self {
        let pool = reading_pool((*self.pool.connect_options()).clone(), connections, patience, limit);
        Self { pool, url: self.url.clone(), days: Arc::default(), probe: Arc::default() }
    }

    /// Like [`Self::reading`], of another server. It may be unavailable: it is connected on demand.
    pub fn replica(url: &str, connections: u32, patience: Duration, limit: Duration) -> anyhow::Result<Self> {
        let options = PgConnectOptions::from_str(url)
            .context(
                "read DATABASE_REPLICA_URL: expected e.g. postgres://user:password@127.0.0.1/cowriestream",
            )?
            .application_name("cowriestream")
            .extra_float_digits(None);
        let pool = reading_pool(options, connections, patience, limit);
        Ok(Self { pool, url: url.into(), days: Arc::default(), probe: Arc::default() })
    }

    /// The database URL, for another process of cowriestream. It contains the password: never log it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The limit of its connections.
    pub fn connections(&self) -> u32 {
        self.pool.options().get_max_connections()
    }

    /// Whether the database answers now, for `/readyz`. The caller limits the time.
    pub async fn answers(&self) -> bool {
        let mut probe = self.probe.lock().await;
        // Taken out of the mutex, so that a connection with an outstanding answer is closed and not reused.
        if let Some(mut connection) = probe.take()
            && connection.ping().await.is_ok()
        {
            *probe = Some(connection);
            return true;
        }
        // The server may have been restarted.
        *probe = self.pool.connect_options().connect().await.ok();
        probe.is_some()
    }

    /// Brings the schema up to date. Idempotent, and safe to run from several processes.
    pub async fn migrate(&self) -> anyhow::Result<()> {
        self.check_sessions().await?;
        let version: i32 =
            sqlx::query_scalar!(r#"select current_setting('server_version_num')::int as "version!""#)
                .fetch_one(&self.pool)
                .await?;
        if version < 150_000 {
            bail!("PostgreSQL {} is too old: 15 or newer is needed", version / 10_000);
        }
        // On a connection without time limits: filling a table from many events takes time, and so does
        // waiting for another process that does it.
        let options = self.pool.connect_options().as_ref().clone();
        let own = PgPoolOptions::new()
            .max_connections(1)
            .after_connect(|on, _| {
                Box::pin(async move {
                    on.execute(SETTINGS).await?;
                    on.execute("set statement_timeout = 0; set lock_timeout = 0").await.map(drop)
                })
            })
            .connect_with(options)
            .await
            .context("connect to Postgres")?;
        sqlx::migrate!().run(&own).await.context("migrate the schema")
    }

    /// Fails with what to do when the schema is missing or out of date.
    pub async fn check_schema(&self) -> anyhow::Result<()> {
        self.check_sessions().await?;
        let found = sqlx::query_scalar::<_, bool>("select to_regclass('stream_positions') is not null")
            .fetch_one(&self.pool)
            .await?;
        if !found {
            bail!("the database has no cowriestream schema yet: run `cowriestream migrate`");
        }
        let newest = sqlx::migrate!().iter().map(|migration| migration.version).max();
        let applied =
            sqlx::query_scalar::<_, Option<i64>>("select max(version) from _sqlx_migrations where success")
                .fetch_one(&self.pool)
                .await?;
        if applied < newest {
            bail!("the database has an older schema than this program needs: run `cowriestream migrate`");
        }
        Ok(())
    }

    /// Returns an error when a pooler gives every transaction another session: locks would be lost, and
    /// prepared statements not found.
    async fn check_sessions(&self) -> anyhow::Result<()> {
        // Not from the pool, which may have only one connection.
        let options = self.pool.connect_options();
        let (mut one, mut other) = (options.connect().await?, options.connect().await?);
        let before = session(&mut one).await?;
        // Such a pooler gives the most recently used session to the next client that begins a transaction.
        other.execute("begin").await?;
        let held = session(&mut other).await?;
        let shared = before == held || before != session(&mut one).await?;
        other.execute("rollback").await?;
        one.close().await?;
        other.close().await?;
        if shared {
            bail!("{POOLED}");
        }
        Ok(())
    }

    pub async fn begin(&self) -> Result<Transaction, Failure> {
        Ok(self.pool.begin().await?)
    }

    pub async fn begin_long(&self) -> Result<Transaction, Failure> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query("set local statement_timeout = 0").execute(&mut *transaction).await?;
        Ok(transaction)
    }

    /// Starts a transaction without time limits that sees the state of this moment, whatever is committed
    /// later.
    pub async fn begin_reading(&self) -> Result<Transaction, Failure> {
        let mut transaction = self.pool.begin().await?;
        // The first query takes the snapshot; `set` does not.
        for statement in [
            "set transaction isolation level repeatable read read only",
            "set local statement_timeout = 0",
            "set local lock_timeout = 0",
            "select 1",
        ] {
            sqlx::query(statement).execute(&mut *transaction).await?;
        }
        Ok(transaction)
    }

    pub async fn connection(&self) -> Result<sqlx::pool::PoolConnection<sqlx::Postgres>, Failure> {
        Ok(self.pool.acquire().await?)
    }

    /// Makes sure that each of these days has a partition. Returns the days that are sealed and must not get
    /// events.
    pub async fn open_days(&self, days: &BTreeSet<NaiveDate>) -> Result<BTreeSet<NaiveDate>, Failure> {
        let unknown: Vec<_> = {
            let known = self.days.lock().unwrap_or_else(PoisonError::into_inner);
            days.difference(&known).copied().collect()
        };
        let mut sealed = BTreeSet::new();
        for day in unknown {
            let open = sqlx::query_scalar!(r#"select events_add_day($1) as "open!""#, day)
                .fetch_one(&self.pool)
                .await?;
            if open {
                self.days.lock().unwrap_or_else(PoisonError::into_inner).insert(day);
            } else {
                sealed.insert(day);
            }
        }
        Ok(sealed)
    }

    /// Joins the processors of this database. Returns the connection that represents the membership, and
    /// whether no other processor was a member.
    pub async fn join_processors(&self) -> Result<(Membership, bool), Failure> {
        let mut connection = self.pool.acquire().await?.detach();
        let alone = sqlx::query_scalar!(
            r#"select pg_try_advisory_lock(hashtext('cowriestream.processors')) as "alone!""#
        )
        .fetch_one(&mut connection)
        .await?;
        sqlx::query!("select pg_advisory_lock_shared(hashtext('cowriestream.processors'))")
            .fetch_one(&mut connection)
            .await?;
        if alone {
            sqlx::query!("select pg_advisory_unlock(hashtext('cowriestream.processors'))")
                .fetch_one(&mut connection)
                .await?;
        }
        Ok((Membership(connection), alone))
    }

    /// Blocks every other process that wants to move a consumer, until the transaction ends.
    pub async fn lock_consumers(&self) -> Result<Transaction, Failure> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query!("select pg_advisory_xact_lock(hashtext('cowriestream.consumers'))")
            .fetch_one(&mut *transaction)
            .await?;
        Ok(transaction)
    }

    /// Forgets which days have a partition: the database may be another one, or a day may have been sealed.
    pub fn forget_days(&self) {
        self.days.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Returns a pool that connects on demand.
fn pool(options: PgConnectOptions, connections: u32, patience: Duration) -> PgPool {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(patience)
        .after_connect(|on, _| Box::pin(async move { on.execute(SETTINGS).await.map(drop) }))
        .connect_lazy_with(options)
}

/// Returns a pool like [`pool`], for requests that read.
fn reading_pool(options: PgConnectOptions, connections: u32, patience: Duration, limit: Duration) -> PgPool {
    let settings = format!(
        "{SETTINGS}; set statement_timeout = {}; set default_transaction_read_only = on",
        limit.as_millis()
    );
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(patience)
        .after_connect(move |on, _| {
            let settings = sqlx::AssertSqlSafe(settings.clone());
            Box::pin(async move { on.execute(sqlx::raw_sql(settings)).await.map(drop) })
        })
        .connect_lazy_with(options)
}

/// The process id of the Postgres backend.
async fn session(on: &mut PgConnection) -> sqlx::Result<i32> {
    on.fetch_one(sqlx::raw_sql("select pg_backend_pid()")).await?.try_get(0)
}

/// Connects, and waits for a database that is unavailable or starting. Its own error says why it failed; the
/// pool would only report a timeout.
async fn first_connection(options: &PgConnectOptions) -> anyhow::Result<PgConnection> {
    let deadline = Instant::now() + CONNECT_LIMIT;
    let mut last = None;
    loop {
        let error = match timeout_at(deadline, options.connect()).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(error)) => error,
            Err(_) => match last {
                Some(error) => {
                    return Err(
                        anyhow::Error::from(error).context(format!("not possible within {CONNECT_LIMIT:?}"))
                    );
                }
                None => bail!("no answer within {CONNECT_LIMIT:?}"),
            },
        };
        // A wrong password, for example, stays wrong.
        let may_pass = match &error {
            sqlx::Error::Io(error) => {
                error.kind() != std::io::ErrorKind::NotFound || options.get_socket().is_some()
            }
            sqlx::Error::Database(error) => {
                error.code().is_some_and(|code| matches!(&*code, "57P01" | "57P02" | "57P03" | "53300"))
            }
            _ => false,
        };
        if !may_pass || Instant::now() + RETRY_PAUSE >= deadline {
            return Err(error.into());
        }
        last = Some(error);
        sleep(RETRY_PAUSE).await;
    }
}

/// Lifts the time limits of a connection whose work grows with the size of the database.
pub async fn unhurried(on: &mut PgConnection) -> Result<(), Failure> {
    for setting in ["set statement_timeout = 0", "set lock_timeout = 0"] {
        sqlx::query(setting).execute(&mut *on).await?;
    }
    Ok(())
}

/// A processor's membership. It ends with the process, however the process ends.
pub struct Membership(PgConnection);

impl Membership {
    /// Whether the connection is still open.
    pub async fn holds(&mut self) -> bool {
        sqlx::Connection::ping(&mut self.0).await.is_ok()
    }

    /// The connection of the membership. Work on it happens in the database that was joined, not in one that
    /// was restored since.
    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.0
    }
}
