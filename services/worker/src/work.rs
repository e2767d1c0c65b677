//! The one loop of a worker: claims when a slot is free, and ends what has run.

use std::{collections::VecDeque, time::Duration};

use boot::CancellationToken;
use bus::{News, Permit};
use store::{End, Failure};
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

use crate::{
    Shared,
    attempt::{self, Running, Why},
};

/// How often it looks without a permit: for jobs whose time has come, or whose permit was lost or went to a worker that may not take them.
const LOOK: Duration = Duration::from_secs(1);
/// After so many starts, a job that has waited too long is looked for.
const STARTS: u32 = 8;

/// Works until stop; then waits for what runs, and hands back what does not end in time.
pub(crate) async fn work(
    shared: Shared,
    mut permits: mpsc::Receiver<Permit>,
    free: watch::Sender<usize>,
    drained: CancellationToken,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let _ends_heartbeat = drained.drop_guard();
    let (tell, mut ended) = mpsc::channel::<(Uuid, Option<End>)>(1_024);
    let mut worker = Worker { shared, tell, free, waiting: VecDeque::new(), unwritten: Vec::new(), starts: 0 };
    let mut look = tokio::time::interval(LOOK);
    while !stop.is_cancelled() {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(permit) = permits.recv() => worker.waiting.push_back(permit),
            Some(one) = ended.recv() => worker.ended(one).await,
            _ = look.tick() => (),
        }
        while let Ok(permit) = permits.try_recv() {
            worker.waiting.push_back(permit);
        }
        while let Ok(one) = ended.try_recv() {
            worker.ended(one).await;
        }
        worker.turn().await;
    }
    drop(permits);
    worker.drain(ended).await;
    Ok(())
}

struct Worker {
    shared: Shared,
    tell: mpsc::Sender<(Uuid, Option<End>)>,
    free: watch::Sender<usize>,
    /// Permits not used yet.
    waiting: VecDeque<Permit>,
    /// Ends that the database does not have yet.
    unwritten: Vec<End>,
    starts: u32,
}

impl Worker {
    async fn ended(&mut self, (job_id, end): (Uuid, Option<End>)) {
        match end {
            Some(end) => self.unwritten.push(end),
            // It is not ours any more.
            None => self.forget(job_id).await,
        }
    }

    async fn forget(&self, job_id: Uuid) {
        let running = self.shared.running.lock().await.remove(&job_id);
        if let Some(permit) = running.and_then(|running| running.permit) {
            permit.done().await;
        }
    }

    /// Writes what has ended, and claims what there are slots for.
    async fn turn(&mut self) {
        if let Err(failure) = self.write_ends().await {
            tracing::warn!(error = format!("{:#}", anyhow::Error::from(failure)), "the ends of jobs wait to be written");
            return;
        }
        if let Err(failure) = self.claim().await {
            tracing::debug!(error = format!("{:#}", anyhow::Error::from(failure)), "could not claim for now");
        }
        let running = self.shared.running.lock().await.len();
        let slots = (self.shared.spec.concurrency as usize).saturating_sub(running);
        self.free.send_if_modified(|free| std::mem::replace(free, slots) != slots);
        metrics::gauge!("cowriestream_worker_running").set(running as f64);
    }

    async fn write_ends(&mut self) -> Result<(), Failure> {
        if self.unwritten.is_empty() {
            return Ok(());
        }
        let mut connection = self.shared.store.connection().await?;
        let statuses = store::end_jobs(&mut connection, self.shared.worker_id, &self.unwritten).await?;
        drop(connection);
        for end in std::mem::take(&mut self.unwritten) {
            self.forget(end.job_id).await;
        }
        for status in statuses {
            metrics::counter!("cowriestream_worker_attempts_total", "state" => status.state.name()).increment(1);
            attempt::tell(&self.shared, News::Status, &status).await;
        }
        Ok(())
    }

    async fn claim(&mut self) -> Result<(), Failure> {
        let running = self.shared.running.lock().await.len();
        let slots = (self.shared.spec.concurrency as usize).saturating_sub(running) as i64;
        if slots == 0 {
            return Ok(());
        }
        let mut connection = self.shared.store.connection().await?;
        let mut claimed = Vec::new();
        if self.starts >= STARTS {
            self.starts = 0;
            if let Some(starving) = store::starving_job(&mut connection, self.shared.worker_id).await? {
                claimed = store::claim_jobs(&mut connection, self.shared.worker_id, 1, Some(starving)).await?;
            }
        }
        let slots = slots - claimed.len() as i64;
        if slots > 0 {
            // So that the next look for a starving job is not missed by many.
            claimed.extend(store::claim_jobs(&mut connection, self.shared.worker_id, slots, None).await?);
        }
        drop(connection);
        self.starts += claimed.len() as u32;
        for one in claimed {
            let permit = self.waiting.pop_front();
            let status = one.status()?;
            let (running, run) = Running::of(&self.shared, &one, permit);
            self.shared.running.lock().await.insert(one.job_id, running);
            tracing::debug!(job_id = %one.job_id, job_type = one.job_type, attempt = one.attempt, traceparent = one.traceparent, "started");
            attempt::tell(&self.shared, News::Status, &status).await;
            let tell = self.tell.clone();
            let mut span = boot::span("attempt", one.traceparent.as_deref());
            span.note("job_id", one.job_id);
            span.note("job_type", &one.job_type);
            span.note("attempt", one.attempt);
            self.shared.tasks.start(async move {
                let outcome = attempt::run(run).await;
                span.note("outcome", outcome.as_ref().map_or("lost", attempt::named));
                drop(span);
                let end = outcome.map(|outcome| End { job_id: one.job_id, attempt: one.attempt, outcome });
                // Nobody listening any more: the lease ends.
                let _ = tell.send((one.job_id, end)).await;
            });
        }
        // Nothing more to claim, or no slot: whoever frees one looks again.
        for permit in self.waiting.drain(..) {
            permit.done().await;
        }
        Ok(())
    }

    /// Waits for what runs as long as it may, hands back the rest, and leaves.
    async fn drain(mut self, mut ended: mpsc::Receiver<(Uuid, Option<End>)>) {
        for permit in std::mem::take(&mut self.waiting) {
            permit.done().await;
        }
        let mut handing_back = false;
        let limit = tokio::time::sleep(self.shared.drain);
        tokio::pin!(limit);
        loop {
            if self.write_ends().await.is_err() {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            if self.shared.running.lock().await.is_empty() {
                break;
            }
            tokio::select! {
                Some(one) = ended.recv() => self.ended(one).await,
                () = &mut limit, if !handing_back => {
                    handing_back = true;
                    for running in self.shared.running.lock().await.values() {
                        running.stop(Why::HandedBack);
                    }
                }
                () = tokio::time::sleep(Duration::from_secs(4)), if handing_back => break,
            }
        }
        self.shared.tasks.stop().cancel();
        if let Ok(mut connection) = self.shared.store.connection().await {
            store::forget_worker(&mut connection, self.shared.worker_id).await.ok();
        }
        if let Err(error) = self.shared.bus.flush().await {
            tracing::debug!(error = format!("{error:#}"), "could not flush");
        }
    }
}
