//! The Redis mirror: every status of every job, for clients that speak Redis. It never holds the only copy,
//! and may be wiped at any time.

use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use boot::CancellationToken;
use bytes::Bytes;
use futures::StreamExt;
use jobs::{Status, mirror as keys};
use redis::{
    Client, IntoConnectionInfo as _, Pipeline, Script, aio::ConnectionManager, io::tcp::TcpSettings,
};
use serde_json::Value;
use store::JobEvent;
use uuid::Uuid;

use crate::service::Service;

/// How often Postgres is read for states that no message announced, and for rows that appeared late.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// Wait before states are read, so that one read finds those of several messages.
const GATHER: Duration = Duration::from_millis(20);
/// Rows of `job_events` that are read again before the newest: a transaction may commit rows late.
const LOOK_BACK: i64 = 2_000;
/// Rows read at once.
const ROWS: i64 = 2_000;
/// Statuses sent to Redis at once.
const PIPELINE: usize = 100;
/// Messages read at once.
const MESSAGES: usize = 1_000;
/// Jobs of one step of a rebuild.
const REBUILD_ROWS: i64 = 500;
/// Most entries of a job's stream.
const STREAM_LENGTH: usize = 1_000;
/// Between attempts while Redis is away.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Bytes of results sent to Redis at once.
const RESULTS_AT_ONCE: i64 = 8 << 20;
/// A result that takes more bytes in the database may be compressed there: it counts as the largest.
const PLAIN_RESULT: i32 = 2_000;
const LARGEST_RESULT: i64 = 1 << 20;
/// Between two rebuilds of the whole mirror: doubled each time, up to the longest, while keys keep getting lost.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(120);
/// A failure is logged at most this often.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Writes a status unless a newer one is there, and publishes it. Returns 1: written; 2: written, and a key of
/// another type was replaced; 0: it was there. The first write is SET, which Redis refuses when its memory is full;
/// after a first write such as DEL it would let the rest pass. KEYS: hash, celery, stream, queue. ARGV:
/// version, ttl, status JSON, celery JSON, channel of status, channel of progress, final, progress, created,
/// job, stream length, then the fields of the hash.
const WRITE: &str = r"
local version, foreign = tonumber(ARGV[1]), {}
for i, kind in ipairs({'hash', 'string', 'stream', 'zset'}) do
    local found = redis.call('type', KEYS[i]).ok
    if found ~= 'none' and found ~= kind then foreign[#foreign + 1] = KEYS[i] end
end
local have = tonumber(redis.pcall('hget', KEYS[1], 'version') or '0') or 0
if have > version then return 0 end
local waits = ARGV[7] == '0' and ARGV[8] == '0'
if have == version and #foreign == 0 and redis.call('exists', KEYS[2]) == 1 then
    if waits then redis.pcall('zadd', KEYS[4], ARGV[9], ARGV[10]) end
    return 0
end
local fields = {}
for i = 12, #ARGV do fields[#fields + 1] = ARGV[i] end
redis.call('set', KEYS[2], ARGV[4])
for _, key in ipairs(foreign) do
    if key ~= KEYS[2] then redis.call('del', key) end
end
redis.call('del', KEYS[1])
redis.call('hset', KEYS[1], unpack(fields))
redis.call('xadd', KEYS[3], 'maxlen', '~', ARGV[11], '*', 'status', ARGV[3])
for i = 1, 3 do redis.call('expire', KEYS[i], ARGV[2]) end
if ARGV[8] == '1' then
    redis.call('publish', ARGV[6], ARGV[3])
elseif waits then
    redis.call('zadd', KEYS[4], ARGV[9], ARGV[10])
else
    redis.call('zrem', KEYS[4], ARGV[10])
end
redis.call('publish', ARGV[5], ARGV[3])
redis.call('publish', KEYS[2], ARGV[4])
return #foreign > 0 and 2 or 1";

pub(crate) fn open(url: &str) -> anyhow::Result<Client> {
    let why = "read REDIS_URL: expected e.g. redis://127.0.0.1:6379/0";
    let info = url.into_connection_info().context(why)?;
    // Two small writes in a row must not wait for an acknowledgement in between.
    Client::open(info.set_tcp_settings(TcpSettings::default().set_nodelay(true))).context(why)
}

struct Mirror {
    service: Service,
    redis: ConnectionManager,
    script: Script,
    days: u32,
    /// The newest row that was written.
    newest: i64,
    /// The newest row when late rows were last read.
    looked: i64,
    /// Rows that were written, as far back as late rows are read.
    written: BTreeSet<i64>,
    /// A status could not be written since the last rebuild.
    incomplete: bool,
}

/// State that outlives a connection to Redis.
struct Memory {
    /// The whole mirror is not written again before this time.
    rebuild_at: Instant,
    pause: Duration,
    logged: Option<Instant>,
}

impl Memory {
    /// Whether the whole mirror may be written now. A mirror that stayed whole for a while is rebuilt at once. One
    /// that is lost repeatedly (its keys are evicted, or Redis is full) is rebuilt less and less often, because each
    /// rebuild writes every job.
    fn may_rebuild(&mut self) -> bool {
        let now = Instant::now();
        if now < self.rebuild_at {
            return false;
        }
        if now > self.rebuild_at + self.pause * 4 {
            self.pause = SHORTEST_PAUSE;
        }
        self.rebuild_at = now + self.pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        true
    }

    fn may_log(&mut self) -> bool {
        let may = self.logged.is_none_or(|at| at.elapsed() >= LOG_INTERVAL);
        if may {
            self.logged = Some(Instant::now());
        }
        may
    }
}

/// Mirrors until stop. When Redis is away, only the mirror waits.
pub(crate) async fn mirror(
    client: Client,
    service: Service,
    days: u32,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut memory = Memory { rebuild_at: Instant::now(), pause: SHORTEST_PAUSE, logged: None };
    loop {
        let outcome = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            outcome = follow(&client, &service, days, &mut memory) => outcome,
        };
        if let Err(error) = outcome
            && memory.may_log()
        {
            tracing::warn!(
                error = format!("{error:#}"),
                "could not write the mirror in Redis; will retry, jobs go on"
            );
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(RETRY_PAUSE) => (),
        }
    }
}

async fn follow(client: &Client, service: &Service, days: u32, memory: &mut Memory) -> anyhow::Result<()> {
    let config = redis::aio::ConnectionManagerConfig::new()
        .set_connection_timeout(Some(Duration::from_secs(2)))
        .set_response_timeout(Some(Duration::from_secs(5)))
        .set_number_of_retries(0);
    let redis =
        ConnectionManager::new_with_config(client.clone(), config).await.context("connect to Redis")?;
    let mut live = service.bus.follow_jobs(None).await?.ready_chunks(MESSAGES);
    let mut connection = service.store.connection().await?;
    let newest = store::newest_job_event(&mut connection).await?;
    drop(connection);
    let script = Script::new(WRITE);
    let mut mirror = Mirror {
        service: service.clone(),
        redis,
        script,
        days,
        newest,
        looked: newest,
        written: BTreeSet::new(),
        incomplete: true,
    };
    let mut look = tokio::time::interval(POLL_INTERVAL);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            Some(some) = live.next() => {
                if mirror.messages(&some, memory).await? {
                    tokio::time::sleep(GATHER).await;
                    mirror.states(mirror.newest, memory).await?;
                }
            }
            () = service.changed.notified() => {
                tokio::time::sleep(GATHER).await;
                mirror.states(mirror.newest, memory).await?;
            }
            _ = look.tick() => {
                mirror.repair(memory).await?;
                mirror.late_states(memory).await?;
            }
        }
    }
}

impl Mirror {
    /// Writes the whole mirror again when it is not whole and a rebuild is allowed now.
    async fn repair(&mut self, memory: &mut Memory) -> anyhow::Result<()> {
        let marked: bool = redis::cmd("EXISTS")
            .arg(keys::SENTINEL)
            .query_async(&mut self.redis)
            .await
            .context("ask for the sentinel")?;
        if (marked && !self.incomplete) || !memory.may_rebuild() {
            return Ok(());
        }
        if !marked {
            tracing::warn!("Redis has no whole mirror (new, wiped, or its keys were evicted): writing it");
        }
        self.incomplete = false;
        let mut after = Uuid::nil();
        loop {
            let mut connection = self.service.store.connection().await?;
            let kept = f64::from(self.days) * 86_400.0;
            let some = store::mirrored_jobs(&mut connection, after, kept, REBUILD_ROWS).await?;
            drop(connection);
            let Some(last) = some.last() else { break };
            after = last.status.job_id;
            self.write(&some, false, memory).await?;
        }
        if self.incomplete {
            return Ok(());
        }
        let marked = redis::cmd("SET")
            .arg(keys::SENTINEL)
            .arg(chrono::Utc::now().to_rfc3339())
            .exec_async(&mut self.redis)
            .await;
        match marked {
            Ok(()) => tracing::info!("the mirror in Redis is whole"),
            Err(error) if error.is_io_error() => return Err(error).context("write the sentinel"),
            Err(error) => self.could_not_write(1, &error, memory),
        }
        Ok(())
    }

    /// Writes the states in Postgres after a row that the mirror lacks.
    async fn states(&mut self, mut after: i64, memory: &mut Memory) -> anyhow::Result<()> {
        loop {
            let mut connection = self.service.store.connection().await?;
            let mut ids = store::job_event_ids(&mut connection, after, ROWS).await?;
            let (count, Some(&last)) = (ids.len() as i64, ids.last()) else { return Ok(()) };
            ids.retain(|id| !self.written.contains(id));
            let new =
                if ids.is_empty() { Vec::new() } else { store::job_events(&mut connection, &ids).await? };
            drop(connection);
            after = last;
            self.newest = self.newest.max(last);
            self.write(&new, false, memory).await?;
            self.written.extend(ids);
            if count < ROWS {
                return Ok(());
            }
        }
    }

    /// Reads again the states since the last call and some before: ids are assigned before the commit, so a row may
    /// appear behind newer ones.
    async fn late_states(&mut self, memory: &mut Memory) -> anyhow::Result<()> {
        let from = self.looked - LOOK_BACK;
        self.states(from, memory).await?;
        self.looked = self.newest;
        self.written = self.written.split_off(&(self.looked - LOOK_BACK));
        Ok(())
    }

    /// Writes the newest progress of each job. Returns whether there were messages about states, which are read from
    /// Postgres.
    async fn messages(&mut self, messages: &[Bytes], memory: &mut Memory) -> anyhow::Result<bool> {
        let (mut progress, mut states) = (HashMap::new(), false);
        for status in messages.iter().filter_map(|message| serde_json::from_slice::<Status>(message).ok()) {
            if status.state != jobs::State::InProgress || status.current_step.is_none() {
                states = true;
            } else {
                progress.insert(
                    status.job_id,
                    JobEvent {
                        id: 0,
                        queue: String::new(),
                        created_at: status.updated_at,
                        status,
                        result_bytes: 0,
                    },
                );
            }
        }
        self.write(&progress.into_values().collect::<Vec<_>>(), true, memory).await?;
        Ok(states)
    }

    async fn write(
        &mut self,
        mut all: &[JobEvent],
        progress: bool,
        memory: &mut Memory,
    ) -> anyhow::Result<()> {
        while !all.is_empty() {
            let (some, rest) = all.split_at(pipeline_length(all));
            all = rest;
            let with_result: Vec<_> =
                some.iter().filter(|one| one.result_bytes > 0).map(|one| one.status.job_id).collect();
            let mut results = HashMap::new();
            if !with_result.is_empty() {
                let mut connection = self.service.store.connection().await?;
                results.extend(store::job_results(&mut connection, &with_result).await?);
            }
            let mut pipeline = redis::pipe();
            // Each time, because Redis may have been restarted; the script is short.
            pipeline.load_script(&self.script).ignore();
            for one in some {
                self.add(&mut pipeline, one, results.get(&one.status.job_id), progress)?;
            }
            let answers: Vec<redis::RedisResult<i64>> = pipeline
                .ignore_errors()
                .query_async(&mut self.redis)
                .await
                .context("write statuses to Redis")?;
            let refused = answers.iter().filter_map(|answer| answer.as_ref().err());
            if let Some(error) = refused.clone().next() {
                self.could_not_write(refused.count(), error, memory);
            }
            for (one, _) in some.iter().zip(&answers).filter(|(_, answer)| matches!(answer, Ok(2))) {
                // What the key held is lost: the other jobs of the queue, for example.
                self.incomplete = true;
                tracing::warn!(job_id = %one.status.job_id, "replaced a key of the mirror that had another type");
            }
        }
        Ok(())
    }

    fn could_not_write(&mut self, count: usize, error: &redis::RedisError, memory: &mut Memory) {
        self.incomplete = true;
        if memory.may_log() {
            tracing::warn!(%error, statuses = count, "Redis refused statuses: the mirror is not whole; will retry, jobs go on");
        }
    }

    fn add(
        &self,
        pipeline: &mut Pipeline,
        one: &JobEvent,
        result: Option<&Value>,
        progress: bool,
    ) -> anyhow::Result<()> {
        let status = &one.status;
        let job = status.job_id;
        let ended = status.state.is_final();
        // The status of a job that waits for weeks must not expire.
        let ttl = if ended { self.days * 86_400 } else { 400 * 86_400 };
        let flag = |on: bool| if on { "1" } else { "0" };
        let mut call = self.script.prepare_invoke();
        call.key(keys::status(job))
            .key(keys::celery(job))
            .key(keys::events(job))
            .key(keys::queue(&one.queue));
        call.arg(status.version)
            .arg(ttl)
            .arg(serde_json::to_string(status)?)
            .arg(keys::celery_meta(status, result).to_string());
        call.arg(keys::status(job)).arg(keys::progress(job)).arg(flag(ended)).arg(flag(progress));
        call.arg(one.created_at.timestamp_micros() as f64 / 1e6).arg(job.to_string()).arg(STREAM_LENGTH);
        for (name, value) in keys::fields(status) {
            call.arg(name).arg(value);
        }
        pipeline.invoke_script(&call);
        Ok(())
    }
}

/// How many of the next statuses fit into one pipeline: limited by their number, and by the size of their
/// results.
fn pipeline_length(all: &[JobEvent]) -> usize {
    let bytes = |one: &JobEvent| {
        if one.result_bytes > PLAIN_RESULT { LARGEST_RESULT } else { one.result_bytes.into() }
    };
    let mut sum = 0;
    let fitting = all.iter().take(PIPELINE).take_while(|one| {
        sum += bytes(one);
        sum <= RESULTS_AT_ONCE
    });
    fitting.count().max(1)
}
