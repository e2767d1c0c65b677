//! The one loop of a worker: claims when a slot is free, and ends what has run.

use std::{collections::VecDeque, time::Duration};

use boot::{CancellationToken, Duty};
use bus::{News, Permit};
use store::{End, Failure, Outcome};
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

use crate::{
    Shared,
    attempt::{self, Running, Why},
};

/// How often it looks without a permit: for jobs whose time has come, or whose permit was lost or went to a
/// worker that may not take them.
const LOOK: Duration = Duration::from_secs(1);
/// After so many starts, the job that has waited longest goes, if it has waited too long.
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
    let mut worker = Worker {
        shared,
        tell,
        free,
        waiting: VecDeque::new(),
        unwritten: Vec::new(),
        starts: 0,
        ends_duty: Duty::new("write the ends of jobs"),
        claims_duty: Duty::new("claim jobs"),
    };
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
    ends_duty: Duty,
    claims_duty: Duty,
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
        let written = self.write_ends().await;
        self.ends_duty.report(written);
        let claimed = self.claim().await;
        self.claims_duty.report(claimed);
        let running = self.shared.running.lock().await.len();
        let slots = (self.shared.spec.concurrency as usize).saturating_sub(running);
        self.free.send_if_modified(|free| std::mem::replace(free, slots) != slots);
        metrics::gauge!("cowriestream_worker_running").set(running as f64);
    }

    /// Writes all ends together; when Postgres refuses that, each alone, so that one that cannot be written
    /// holds up no other.
    async fn write_ends(&mut self) -> Result<(), Failure> {
        if self.unwritten.is_empty() {
            return Ok(());
        }
        match self.write(&self.unwritten).await {
            Ok(()) => {
                self.unwritten.clear();
                Ok(())
            }
            Err(failure) if failure.is_outage() => Err(failure),
            Err(_) => self.write_each_end().await,
        }
    }

    async fn write_each_end(&mut self) -> Result<(), Failure> {
        let mut outcome = Ok(());
        for end in std::mem::take(&mut self.unwritten) {
            match self.write(std::slice::from_ref(&end)).await {
                Ok(()) => (),
                Err(Failure::Reject(error)) => self.refuse(end, &error).await,
                Err(failure) => {
                    self.unwritten.push(end);
                    outcome = Err(failure);
                }
            }
        }
        outcome
    }

    /// A job whose end cannot be stored fails, and its error says why.
    async fn refuse(&self, end: End, error: &anyhow::Error) {
        tracing::error!(job_id = %end.job_id, attempt = end.attempt, error = format!("{error:#}"), "could not store the end of a job; it fails");
        let job_id = end.job_id;
        let error = (
            "EndRefused".to_owned(),
            boot::safe_up_to(&format!("the end of the attempt could not be stored: {error:#}"), 500),
        );
        if let Err(failure) = self.write(&[End { outcome: Outcome::Failed { error }, ..end }]).await {
            tracing::error!(%job_id, error = format!("{:#}", anyhow::Error::from(failure)), "could not store that a job failed; its lease ends");
            self.forget(job_id).await;
        }
    }

    async fn write(&self, ends: &[End]) -> Result<(), Failure> {
        let mut connection = self.shared.store.connection().await?;
        let statuses = store::end_jobs(&mut connection, self.shared.worker_id, ends).await?;
        drop(connection);
        for end in ends {
            self.forget(end.job_id).await;
        }
        for status in statuses {
            metrics::counter!("cowriestream_worker_attempts_total", "state" => status.state.name())
                .increment(1);
            attempt::tell(&self.shared.bus, News::Status, &status).await;
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
        // Of nine starts one is for a job that has waited too long, also when many slots are filled at once.
        let for_starving = (i64::from(self.starts) + slots) / i64::from(STARTS + 1);
        if for_starving > 0 {
            let starving = store::starving_jobs(&mut connection, self.shared.worker_id, for_starving).await?;
            if !starving.is_empty() {
                claimed = store::claim_jobs(
                    &mut connection,
                    self.shared.worker_id,
                    slots.min(for_starving),
                    Some(&starving),
                )
                .await?;
            }
        }
        let others = slots - claimed.len() as i64;
        if others > 0 {
            claimed.extend(store::claim_jobs(&mut connection, self.shared.worker_id, others, None).await?);
        }
        drop(connection);
        // A look that found less than it might starts the count again.
        self.starts = (self.starts + claimed.len() as u32) % (STARTS + 1);
        for one in claimed {
            let permit = self.waiting.pop_front();
            let status = one.status()?;
            let (running, run) = Running::of(&self.shared, &one, permit);
            self.shared.running.lock().await.insert(one.job_id, running);
            tracing::debug!(job_id = %one.job_id, job_type = one.job_type, attempt = one.attempt, traceparent = one.traceparent, "started");
            attempt::tell(&self.shared.bus, News::Status, &status).await;
            let (tell, shared) = (self.tell.clone(), self.shared.clone());
            let mut span = boot::span("attempt", one.traceparent.as_deref());
            span.note("job_id", one.job_id);
            span.note("job_type", &one.job_type);
            span.note("attempt", one.attempt);
            self.shared.tasks.start(async move {
                let outcome = attempt::run(&shared, run).await;
                span.note("outcome", outcome.as_ref().map_or("lost", attempt::named));
                drop(span);
                let end = outcome.map(|outcome| End { job_id: one.job_id, attempt: one.attempt, outcome });
                // Nobody listening any more: the lease ends.
                let _ = tell.send((one.job_id, end)).await;
            });
        }
        // Nothing more to claim, or no slot: whoever frees one looks again.
        self.answer_waiting().await;
        Ok(())
    }

    /// Acknowledges permits that are of no use. A broker that does not take them delivers them again.
    async fn answer_waiting(&mut self) {
        for permit in std::mem::take(&mut self.waiting) {
            if !permit.done().await {
                return;
            }
        }
    }

    /// Waits for what runs as long as it may, hands back the rest, and leaves.
    async fn drain(mut self, mut ended: mpsc::Receiver<(Uuid, Option<End>)>) {
        self.answer_waiting().await;
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
