//! The Redis mirror: every status of every job, for clients that speak Redis. It never holds the only copy, and may be wiped at any time.

use std::{
    collections::{HashSet, VecDeque},
    time::Duration,
};

use anyhow::Context as _;
use boot::CancellationToken;
use futures::StreamExt;
use jobs::{Status, mirror as keys};
use redis::{Client, Script, aio::ConnectionManager};
use store::JobEvent;
use uuid::Uuid;

use crate::desk::Desk;

/// How often Postgres is asked for states when nobody tells of any.
const LOOK: Duration = Duration::from_millis(500);
/// Rows of `job_events` that are looked at again: those of transactions that committed late.
const LOOK_BACK: i64 = 2_000;
/// Rows taken at once.
const AT_ONCE: i64 = 2_000;
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
    Client::open(url).context("read REDIS_URL: expected e.g. redis://127.0.0.1:6379/0")
}

struct Mirror {
    desk: Desk,
    redis: ConnectionManager,
    script: Script,
    days: u32,
    /// The newest row that was written.
    newest: i64,
    /// Rows that were written lately.
    written: (HashSet<i64>, VecDeque<i64>),
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
    let mut live = desk.bus.follow_jobs(None).await?;
    let mut connection = desk.store.connection().await?;
    let newest = store::newest_job_event(&mut connection).await?;
    drop(connection);
    let mut mirror = Mirror { desk: desk.clone(), redis, script: Script::new(WRITE), days, newest, written: Default::default() };
    mirror.rebuild().await?;
    tracing::info!("the mirror in Redis is whole");
    let mut look = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            Some(message) = live.next() => mirror.news(&message).await?,
            () = desk.changed.notified() => mirror.states().await?,
            _ = look.tick() => {
                let whole: bool = redis::cmd("EXISTS").arg(keys::SENTINEL).query_async(&mut mirror.redis).await.context("ask for the sentinel")?;
                if !whole {
                    tracing::warn!("Redis was wiped: writing the mirror again");
                    mirror.rebuild().await?;
                }
                mirror.states().await?;
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
            for one in &some {
                self.write(one, false).await?;
            }
        }
        redis::cmd("SET").arg(keys::SENTINEL).arg(chrono::Utc::now().to_rfc3339()).exec_async(&mut self.redis).await.context("write the sentinel")?;
        Ok(())
    }

    /// Writes the states that Postgres has and the mirror lacks.
    async fn states(&mut self) -> anyhow::Result<()> {
        loop {
            let mut connection = self.desk.store.connection().await?;
            let some = store::job_events(&mut connection, self.newest - LOOK_BACK, AT_ONCE + LOOK_BACK).await?;
            drop(connection);
            let count = some.len() as i64;
            for one in some {
                self.newest = self.newest.max(one.id);
                if self.written.0.insert(one.id) {
                    self.written.1.push_back(one.id);
                    self.write(&one, false).await?;
                }
            }
            while self.written.1.len() as i64 > 2 * (LOOK_BACK + AT_ONCE) {
                if let Some(old) = self.written.1.pop_front() {
                    self.written.0.remove(&old);
                }
            }
            if count < AT_ONCE + LOOK_BACK {
                return Ok(());
            }
        }
    }

    /// Progress is written as it was told; a state stands in Postgres.
    async fn news(&mut self, message: &[u8]) -> anyhow::Result<()> {
        let Ok(status) = serde_json::from_slice::<Status>(message) else { return Ok(()) };
        if status.state != jobs::State::InProgress || status.current_step.is_none() {
            return self.states().await;
        }
        let one = JobEvent { id: 0, queue: String::new(), created_at: status.updated_at, status, result: None };
        self.write(&one, true).await
    }

    async fn write(&mut self, one: &JobEvent, progress: bool) -> anyhow::Result<()> {
        let status = &one.status;
        let job = status.job_id;
        let ended = status.state.is_final();
        // Of a job that waits for weeks the status stays.
        let ttl = if ended { self.days * 86_400 } else { 400 * 86_400 };
        let queue = keys::queue(&one.queue);
        let flag = |on: bool| if on { "1" } else { "0" };
        let mut call = self.script.prepare_invoke();
        call.key(keys::status(job)).key(keys::celery(job)).key(keys::events(job)).key(queue);
        call.arg(status.version).arg(ttl).arg(serde_json::to_string(status)?).arg(keys::celery_meta(status, one.result.as_ref()).to_string());
        call.arg(keys::status(job)).arg(keys::progress(job)).arg(flag(ended)).arg(flag(progress));
        call.arg(one.created_at.timestamp_micros() as f64 / 1e6).arg(job.to_string()).arg(STREAM_LENGTH);
        for (name, value) in keys::fields(status) {
            call.arg(name).arg(value);
        }
        let _: i64 = call.invoke_async(&mut self.redis).await.context("write a status to Redis")?;
        Ok(())
    }
}
