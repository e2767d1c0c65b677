//! The Redis mirror: every status of every job, for clients that speak Redis. It never holds the only copy, and may be wiped at any time.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use anyhow::Context as _;
use boot::CancellationToken;
use bytes::Bytes;
use futures::StreamExt;
use jobs::{Status, mirror as keys};
use redis::{Client, IntoConnectionInfo as _, Pipeline, Script, aio::ConnectionManager, io::tcp::TcpSettings};
use store::JobEvent;
use uuid::Uuid;

use crate::desk::Desk;

/// How often Postgres is asked for states when nobody tells of any, and for rows that appeared late.
const LOOK: Duration = Duration::from_millis(500);
/// How soon states are written at the latest when there is no end of news; together they cost least.
const GATHER: Duration = Duration::from_millis(20);
/// Rows of `job_events` before those of the last look that are looked at again: those of transactions that committed late.
const LOOK_BACK: i64 = 2_000;
/// Rows taken at once.
const AT_ONCE: i64 = 2_000;
/// Statuses sent to Redis at once.
const PIPELINE: usize = 100;
/// News taken at once.
const NEWS: usize = 1_000;
/// Jobs written again at once.
const REBUILD_AT_ONCE: i64 = 500;
/// Most entries of a job's stream.
const STREAM_LENGTH: usize = 1_000;
/// Between attempts while Redis is away.
const PAUSE: Duration = Duration::from_secs(1);

/// Writes a status unless a newer one is there; tells those who wait.
/// KEYS: hash, celery, stream, queue. ARGV: version, ttl, status JSON, celery JSON, channel of status, channel of progress, final, progress, created, job,
/// stream length, then the fields of the hash.
const WRITE: &str = r"
local have = tonumber(redis.call('hget', KEYS[1], 'version') or '0')
if have >= tonumber(ARGV[1]) then return 0 end
local fields = {}
for i = 12, #ARGV do fields[#fields + 1] = ARGV[i] end
redis.call('del', KEYS[1])
redis.call('hset', KEYS[1], unpack(fields))
redis.call('set', KEYS[2], ARGV[4])
redis.call('xadd', KEYS[3], 'maxlen', '~', ARGV[11], '*', 'status', ARGV[3])
for i = 1, 3 do redis.call('expire', KEYS[i], ARGV[2]) end
if ARGV[8] == '1' then
    redis.call('publish', ARGV[6], ARGV[3])
elseif ARGV[7] == '1' then
    redis.call('zrem', KEYS[4], ARGV[10])
else
    redis.call('zadd', KEYS[4], ARGV[9], ARGV[10])
end
redis.call('publish', ARGV[5], ARGV[3])
redis.call('publish', KEYS[2], ARGV[4])
return 1";

/// A Redis by its URL.
pub(crate) fn open(url: &str) -> anyhow::Result<Client> {
    let why = "read REDIS_URL: expected e.g. redis://127.0.0.1:6379/0";
    let info = url.into_connection_info().context(why)?;
    // Two small writes in a row must not wait for an acknowledgement in between.
    Client::open(info.set_tcp_settings(TcpSettings::default().set_nodelay(true))).context(why)
}

struct Mirror {
    desk: Desk,
    redis: ConnectionManager,
    script: Script,
    days: u32,
    /// The newest row that was written.
    newest: i64,
    /// What it was at the last look for late rows.
    looked: i64,
    /// Rows that were written, back to where the next such look begins.
    written: BTreeSet<i64>,
}

/// Mirrors until stop. Redis being away delays nothing but the mirror.
pub(crate) async fn mirror(client: Client, desk: Desk, days: u32, stop: CancellationToken) -> anyhow::Result<()> {
    let mut told = false;
    loop {
        let outcome = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            outcome = follow(&client, &desk, days) => outcome,
        };
        if let Err(error) = outcome
            && !std::mem::replace(&mut told, true)
        {
            tracing::warn!(error = format!("{error:#}"), "no mirror in Redis for now; jobs go on");
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(PAUSE) => (),
        }
    }
}

async fn follow(client: &Client, desk: &Desk, days: u32) -> anyhow::Result<()> {
    let config = redis::aio::ConnectionManagerConfig::new()
        .set_connection_timeout(Some(Duration::from_secs(2)))
        .set_response_timeout(Some(Duration::from_secs(5)))
        .set_number_of_retries(0);
    let redis = ConnectionManager::new_with_config(client.clone(), config).await.context("connect to Redis")?;
    let mut live = desk.bus.follow_jobs(None).await?.ready_chunks(NEWS);
    let mut connection = desk.store.connection().await?;
    let newest = store::newest_job_event(&mut connection).await?;
    drop(connection);
    let mut mirror = Mirror { desk: desk.clone(), redis, script: Script::new(WRITE), days, newest, looked: newest, written: BTreeSet::new() };
    mirror.rebuild().await?;
    tracing::info!("the mirror in Redis is whole");
    let mut look = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            Some(some) = live.next() => {
                if mirror.news(&some).await? {
                    tokio::time::sleep(GATHER).await;
                    mirror.states(mirror.newest).await?;
                }
            }
            () = desk.changed.notified() => {
                tokio::time::sleep(GATHER).await;
                mirror.states(mirror.newest).await?;
            }
            _ = look.tick() => {
                let whole: bool = redis::cmd("EXISTS").arg(keys::SENTINEL).query_async(&mut mirror.redis).await.context("ask for the sentinel")?;
                if !whole {
                    tracing::warn!("Redis was wiped: writing the mirror again");
                    mirror.rebuild().await?;
                }
                mirror.late().await?;
            }
        }
    }
}

impl Mirror {
    /// Writes every job that has not ended, or ended lately.
    async fn rebuild(&mut self) -> anyhow::Result<()> {
        let mut after = Uuid::nil();
        loop {
            let mut connection = self.desk.store.connection().await?;
            let kept = f64::from(self.days) * 86_400.0;
            let some = store::mirrored_jobs(&mut connection, after, kept, REBUILD_AT_ONCE).await?;
            drop(connection);
            let Some(last) = some.last() else { break };
            after = last.status.job_id;
            self.write(&some, false).await?;
        }
        redis::cmd("SET").arg(keys::SENTINEL).arg(chrono::Utc::now().to_rfc3339()).exec_async(&mut self.redis).await.context("write the sentinel")?;
        Ok(())
    }

    /// Writes the states that Postgres has after a row, and the mirror lacks.
    async fn states(&mut self, mut after: i64) -> anyhow::Result<()> {
        loop {
            let mut connection = self.desk.store.connection().await?;
            let some = store::job_events(&mut connection, after, AT_ONCE).await?;
            drop(connection);
            let (count, Some(last)) = (some.len() as i64, some.last()) else { return Ok(()) };
            after = last.id;
            self.newest = self.newest.max(last.id);
            let new: Vec<_> = some.into_iter().filter(|one| self.written.insert(one.id)).collect();
            self.write(&new, false).await?;
            if count < AT_ONCE {
                return Ok(());
            }
        }
    }

    /// Once more those since the last such look and some before: ids are given before the commit, so a row may appear behind newer ones.
    async fn late(&mut self) -> anyhow::Result<()> {
        let from = self.looked - LOOK_BACK;
        self.states(from).await?;
        self.looked = self.newest;
        self.written = self.written.split_off(&(self.looked - LOOK_BACK));
        Ok(())
    }

    /// Progress is written as it was told, of each job the newest; a state stands in Postgres. Whether there are states.
    async fn news(&mut self, messages: &[Bytes]) -> anyhow::Result<bool> {
        let (mut progress, mut states) = (HashMap::new(), false);
        for status in messages.iter().filter_map(|message| serde_json::from_slice::<Status>(message).ok()) {
            if status.state != jobs::State::InProgress || status.current_step.is_none() {
                states = true;
            } else {
                progress.insert(status.job_id, JobEvent { id: 0, queue: String::new(), created_at: status.updated_at, status, result: None });
            }
        }
        self.write(&progress.into_values().collect::<Vec<_>>(), true).await?;
        Ok(states)
    }

    async fn write(&mut self, all: &[JobEvent], progress: bool) -> anyhow::Result<()> {
        for some in all.chunks(PIPELINE) {
            let mut pipeline = redis::pipe();
            // Redis may have been restarted since; the script is short.
            pipeline.load_script(&self.script).ignore();
            for one in some {
                self.add(&mut pipeline, one, progress)?;
            }
            pipeline.exec_async(&mut self.redis).await.context("write statuses to Redis")?;
        }
        Ok(())
    }

    fn add(&self, pipeline: &mut Pipeline, one: &JobEvent, progress: bool) -> anyhow::Result<()> {
        let status = &one.status;
        let job = status.job_id;
        let ended = status.state.is_final();
        // Of a job that waits for weeks the status stays.
        let ttl = if ended { self.days * 86_400 } else { 400 * 86_400 };
        let flag = |on: bool| if on { "1" } else { "0" };
        let mut call = self.script.prepare_invoke();
        call.key(keys::status(job)).key(keys::celery(job)).key(keys::events(job)).key(keys::queue(&one.queue));
        call.arg(status.version).arg(ttl).arg(serde_json::to_string(status)?).arg(keys::celery_meta(status, one.result.as_ref()).to_string());
        call.arg(keys::status(job)).arg(keys::progress(job)).arg(flag(ended)).arg(flag(progress));
        call.arg(one.created_at.timestamp_micros() as f64 / 1e6).arg(job.to_string()).arg(STREAM_LENGTH);
        for (name, value) in keys::fields(status) {
            call.arg(name).arg(value);
        }
        pipeline.invoke_script(&call).ignore();
        Ok(())
    }
}
