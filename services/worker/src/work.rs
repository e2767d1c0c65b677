//! The main loop of a worker: claims jobs while slots are free, and writes how attempts ended.

use std::{collections::VecDeque, time::Duration};

use boot::{CancellationToken, Duty};
use bus::{News, Permit};
use store::{
    Failure,
    jobs::{Claimed, End},
};
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

use crate::{
    attempt,
    ends::Ends,
    metrics::RUNNING,
    publish,
    shared::{Running, Shared},
    stop::StopReason,
};

/// Interval of claims without a permit: for jobs whose time has come, or whose permit was lost or went to a
/// worker that may not run them.
const CLAIM_INTERVAL: Duration = Duration::from_secs(1);
/// After this many starts, the next one is for the job that has waited longest, if it has waited too long.
const STARTS: u32 = 8;
/// Pause between two tries to write ends while draining.
const WRITE_PAUSE: Duration = Duration::from_millis(200);
/// How long jobs that are handed back may take to stop.
const HAND_BACK_LIMIT: Duration = Duration::from_secs(4);
/// Most ended attempts that wait for the loop.
const MOST_ENDED: usize = 1_024;

/// An attempt that ended. `None`: it lost its lease, so there is nothing to write.
type Ended = (Uuid, Option<End>);

/// Runs until stop. Then waits for running jobs, and hands back those that do not end in time. Cancels
/// `drained` when it returns.
pub(crate) async fn work(
    shared: Shared,
    mut permits: mpsc::Receiver<Permit>,
    free: watch::Sender<usize>,
    drained: CancellationToken,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let _ends_heartbeat = drained.drop_guard();
    let (ended, mut endings) = mpsc::channel(MOST_ENDED);
    let mut worker = Worker {
        ends: Ends::new(shared.clone()),
        shared,
        ended,
        free,
        permits: VecDeque::new(),
        starts: 0,
        claims: Duty::new("claim jobs"),
    };
    let mut interval = tokio::time::interval(CLAIM_INTERVAL);
    while !stop.is_cancelled() {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(permit) = permits.recv() => worker.permits.push_back(permit),
            Some(ended) = endings.recv() => worker.take_ended(ended).await,
            _ = interval.tick() => (),
        }
        while let Ok(permit) = permits.try_recv() {
            worker.permits.push_back(permit);
        }
        while let Ok(ended) = endings.try_recv() {
            worker.take_ended(ended).await;
        }
        worker.turn().await;
    }
    drop(permits);
    worker.drain(endings).await;
    Ok(())
}

struct Worker {
    shared: Shared,
    ends: Ends,
    ended: mpsc::Sender<Ended>,
    free: watch::Sender<usize>,
    /// Permits that were not used yet.
    permits: VecDeque<Permit>,
    /// Starts since the last one for a starving job.
    starts: u32,
    claims: Duty,
}

impl Worker {
    async fn take_ended(&mut self, (job_id, end): Ended) {
        match end {
            Some(end) => self.ends.push(end),
            None => self.shared.release(job_id).await,
        }
    }

    /// Writes ends, then fills the free slots.
    async fn turn(&mut self) {
        self.ends.write().await;
        let outcome = self.claim().await;
        self.claims.report(outcome);
        let slots = self.shared.free_slots().await;
        self.free.send_if_modified(|free| std::mem::replace(free, slots) != slots);
        metrics::gauge!(RUNNING).set(self.shared.running.lock().await.len() as f64);
    }

    async fn claim(&mut self) -> Result<(), Failure> {
        let slots = self.shared.free_slots().await as i64;
        if slots == 0 {
            return Ok(());
        }
        let claimed = self.claim_up_to(slots).await?;
        // Finding fewer jobs than slots restarts the count.
        self.starts = (self.starts + claimed.len() as u32) % (STARTS + 1);
        for job in claimed {
            self.start(job).await?;
        }
        // The remaining permits are of no use: either no job is left, or no slot, and then the next free slot
        // claims without a permit.
        self.acknowledge_permits().await;
        Ok(())
    }

    /// One of nine starts is for a starving job, also when many slots are filled at once.
    async fn claim_up_to(&self, slots: i64) -> Result<Vec<Claimed>, Failure> {
        let worker_id = self.shared.worker_id;
        let mut connection = self.shared.store.connection().await?;
        let mut claimed = Vec::new();
        let for_starving = (i64::from(self.starts) + slots) / i64::from(STARTS + 1);
        if for_starving > 0 {
            let starving = store::jobs::starving(&mut connection, worker_id, for_starving).await?;
            if !starving.is_empty() {
                let limit = slots.min(for_starving);
                claimed = store::jobs::claim(&mut connection, worker_id, limit, Some(&starving)).await?;
            }
        }
        let others = slots - claimed.len() as i64;
        if others > 0 {
            claimed.extend(store::jobs::claim(&mut connection, worker_id, others, None).await?);
        }
        Ok(claimed)
    }

    /// Starts the attempt of a claimed job, with the next permit if there is one.
    async fn start(&mut self, job: Claimed) -> Result<(), Failure> {
        let status = job.status()?;
        let (running, run) = Running::new(&self.shared, &job, self.permits.pop_front());
        self.shared.running.lock().await.insert(job.job_id, running);
        tracing::debug!(
            job_id = %job.job_id, job_type = job.job_type, attempt = job.attempt,
            traceparent = job.traceparent, "started an attempt"
        );
        publish::publish(&self.shared.bus, News::Status, &status).await;
        let (ended, shared) = (self.ended.clone(), self.shared.clone());
        let mut span = boot::span("attempt", job.traceparent.as_deref());
        span.note("job_id", job.job_id);
        span.note("job_type", &job.job_type);
        span.note("attempt", job.attempt);
        self.shared.tasks.start(async move {
            let outcome = attempt::run(&shared, run).await;
            span.note("outcome", outcome.as_ref().map_or("lost", attempt::outcome_name));
            drop(span);
            let end = outcome.map(|outcome| End { job_id: job.job_id, attempt: job.attempt, outcome });
            // Without a receiver the worker has stopped, and the lease ends.
            let _ = ended.send((job.job_id, end)).await;
        });
        Ok(())
    }

    /// Acknowledges unused permits. If the broker is away, it delivers them again.
    async fn acknowledge_permits(&mut self) {
        for permit in std::mem::take(&mut self.permits) {
            if !permit.done().await {
                return;
            }
        }
    }

    /// Waits for running jobs as long as allowed, hands back the rest, and removes the worker.
    async fn drain(mut self, mut endings: mpsc::Receiver<Ended>) {
        self.acknowledge_permits().await;
        let mut is_handing_back = false;
        let limit = tokio::time::sleep(self.shared.drain);
        tokio::pin!(limit);
        loop {
            if !self.ends.write().await {
                tokio::time::sleep(WRITE_PAUSE).await;
            }
            if self.shared.running.lock().await.is_empty() {
                break;
            }
            tokio::select! {
                Some(ended) = endings.recv() => self.take_ended(ended).await,
                () = &mut limit, if !is_handing_back => {
                    is_handing_back = true;
                    for running in self.shared.running.lock().await.values() {
                        running.stop(StopReason::HandedBack);
                    }
                }
                () = tokio::time::sleep(HAND_BACK_LIMIT), if is_handing_back => break,
            }
        }
        self.shared.tasks.stop().cancel();
        if let Ok(mut connection) = self.shared.store.connection().await {
            store::jobs::workers::forget(&mut connection, self.shared.worker_id).await.ok();
        }
        if let Err(error) = self.shared.bus.flush().await {
            tracing::debug!(error = format!("{error:#}"), "could not flush the connection to the broker");
        }
    }
}
