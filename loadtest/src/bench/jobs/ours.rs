//! Measures our jobs: start, rate and progress.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;
use boot::Tasks;
use chrono::{DateTime, Utc};
use futures::StreamExt;
use proto::{JobState, JobStatus};

use super::{Delays, office::Office};
use crate::bench::site::Site;

/// Single submissions after the warm-up.
const IDLE: usize = 300;
const WARM_UP: usize = 50;
/// Pause between the end of a job and the next submission.
const PAUSE: Duration = Duration::from_millis(20);
pub const CALLS: usize = 64;
/// Jobs that are watched together, and their steps. Steps are further apart than the shortest interval of
/// progress reports.
const FOLLOWED: usize = 8;
const STEPS: u32 = 25;
const STEP_SECONDS: f64 = 0.3;

pub struct Idle {
    pub start: Delays,
    /// Until a watcher received it.
    pub seen: Delays,
}

pub struct Rate {
    /// Completed jobs per second, until the last one was completed.
    pub rate: f64,
    /// Submissions per second, until the last call returned.
    pub submission: f64,
    /// Processor milliseconds per job, as text.
    pub cpu: String,
}

/// Delays of progress, from its timestamp until it was received.
pub struct Fresh {
    pub grpc: Delays,
    /// To a subscriber of the mirror.
    pub redis: Delays,
}

fn ms(from: DateTime<Utc>, to: DateTime<Utc>) -> f64 {
    (to - from).num_microseconds().map_or(f64::MAX, |micros| micros as f64 / 1e3)
}

fn is(status: &JobStatus, state: JobState) -> bool {
    status.state == i32::from(state)
}

/// Submits jobs one after the other, each after the end of the one before.
pub async fn idle(office: &Office, site: &Site) -> anyhow::Result<Idle> {
    let mut client = office.client.clone();
    let (mut sent, mut seen) = (HashMap::new(), Vec::with_capacity(IDLE));
    for n in 0..WARM_UP + IDLE {
        let at = boot::now();
        let job_id = Office::submit(&mut client, 0, 0.0).await?;
        let mut started = None;
        let mut statuses = Office::watch(&mut client, &job_id).await?;
        while let Some(answer) = statuses.message().await? {
            let status = answer.status.context("an answer without a status")?;
            if started.is_none() && is(&status, JobState::InProgress) {
                started = Some(boot::now());
            }
        }
        if n >= WARM_UP {
            seen.push(ms(at, started.context("no watcher received the start")?));
            sent.insert(job_id, at);
        }
        tokio::time::sleep(PAUSE).await;
    }
    let mut connection = site.store.connection().await?;
    let started: Vec<(String, DateTime<Utc>)> =
        sqlx::query_as("select job_id::text, started_at from jobs where attempt = 1 and state = 'completed'")
            .fetch_all(&mut *connection)
            .await?;
    let start: Delays = started.iter().filter_map(|(job_id, at)| Some(ms(*sent.get(job_id)?, *at))).collect();
    anyhow::ensure!(
        start.len() == IDLE,
        "only {} of {IDLE} jobs were completed by their first attempt",
        start.len()
    );
    Ok(Idle { start, seen })
}

/// Submits jobs with one call each and several concurrent calls.
pub async fn rate(office: &Office, site: &Site, tasks: &Tasks, jobs: usize) -> anyhow::Result<Rate> {
    let before = completed(site).await?;
    let (cpu, office_cpu) = (site.cpu(), office.cpu());
    let next = Arc::new(AtomicUsize::new(0));
    let started = Instant::now();
    let call = |_| {
        let (mut client, next) = (office.client.clone(), next.clone());
        tasks.start(async move {
            while next.fetch_add(1, Ordering::Relaxed) < jobs {
                Office::submit(&mut client, 0, 0.0).await?;
            }
            anyhow::Ok(())
        })
    };
    let calls: Vec<_> = (0..CALLS).map(call).collect();
    for call in calls {
        call.result().await??;
    }
    let submitted = started.elapsed().as_secs_f64();
    while completed(site).await? < before + jobs as i64 {
        anyhow::ensure!(
            started.elapsed() < Duration::from_secs(300),
            "the jobs are not completed after 300 s"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let took = started.elapsed().as_secs_f64();
    let each = |seconds: f64| seconds * 1e3 / jobs as f64;
    let cpu = site.cpu() - cpu;
    let [coordinator, worker, redis] = office.cpu();
    let ours = [coordinator - office_cpu[0], worker - office_cpu[1], redis - office_cpu[2]];
    let cpu = format!(
        "{:.2} coordinator, {:.2} worker, {:.2} Redis, {:.2} NATS, {:.2} Postgres, {:.2} callers",
        each(ours[0]),
        each(ours[1]),
        each(ours[2]),
        each(cpu.nats),
        each(cpu.postgres),
        each(cpu.ours - ours.iter().sum::<f64>())
    );
    Ok(Rate { rate: jobs as f64 / took, submission: jobs as f64 / submitted, cpu })
}

async fn completed(site: &Site) -> anyhow::Result<i64> {
    let mut connection = site.store.connection().await?;
    Ok(sqlx::query_scalar("select count(*) from job_results").fetch_one(&mut *connection).await?)
}

/// Runs several jobs, each with a watcher, and one subscriber to all of them.
pub async fn freshness(office: &Office, tasks: &Tasks) -> anyhow::Result<Fresh> {
    let listener = redis::Client::open(office.redis_url.as_str())?;
    let mut listener = listener.get_async_pubsub().await.context("connect to Redis")?;
    listener.psubscribe("cowrie:progress:*").await?;
    let group = tasks.group();
    let stop = group.stop();
    let subscriber = tasks.start(async move {
        let (mut messages, mut delays) = (listener.into_on_message(), Delays::new());
        loop {
            let message = tokio::select! {
                () = stop.cancelled() => return anyhow::Ok(delays),
                message = messages.next() => message.context("Redis ended the subscription")?,
            };
            let now = boot::now();
            let status: serde_json::Value = serde_json::from_slice(message.get_payload_bytes())?;
            let at = status["updated_at"].as_str().context("a status without its time")?;
            delays.push(ms(at.parse()?, now));
        }
    });
    let follow = |_| {
        let mut client = office.client.clone();
        tasks.start(async move {
            let job_id = Office::submit(&mut client, STEPS, STEP_SECONDS).await?;
            let mut statuses = Office::watch(&mut client, &job_id).await?;
            let mut delays = Delays::new();
            while let Some(answer) = statuses.message().await? {
                let (now, status) = (boot::now(), answer.status.context("an answer without a status")?);
                // The job may have made the first step before the watcher started.
                let received = is(&status, JobState::InProgress)
                    && !status.current_step.is_empty()
                    && !status.current_step.starts_with("step 1 ");
                if let Some(at) = status.updated_at.filter(|_| received) {
                    delays.push(ms(
                        DateTime::from_timestamp(at.seconds, at.nanos.cast_unsigned()).context("no time")?,
                        now,
                    ));
                }
            }
            anyhow::Ok(delays)
        })
    };
    let watchers: Vec<_> = (0..FOLLOWED).map(follow).collect();
    let mut grpc = Delays::new();
    for watcher in watchers {
        grpc.extend(watcher.result().await??);
    }
    group.stop().cancel();
    let redis = subscriber.result().await??;
    let expected = FOLLOWED * (STEPS as usize - 1);
    anyhow::ensure!(
        grpc.len() >= expected && redis.len() >= expected,
        "{} and {} of {expected} steps were received",
        grpc.len(),
        redis.len()
    );
    Ok(Fresh { grpc, redis })
}
