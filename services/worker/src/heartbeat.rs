//! Heartbeats of the worker, renewal of its leases and permits, and cancellation of its jobs.

use std::time::{Duration, Instant};

use boot::{CancellationToken, Duty};
use store::Failure;

use crate::{shared::Shared, stop::StopReason};

/// Interval of the checks for cancelled jobs.
const CANCEL_INTERVAL: Duration = Duration::from_millis(400);
/// Interval of the heartbeats, which also report the number of running jobs.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(2);
/// Interval of the renewal of leases and permits.
const RENEW_INTERVAL: Duration = Duration::from_secs(5);

/// Runs until `drained`: every job has ended.
pub(crate) async fn heartbeat(shared: Shared, drained: CancellationToken) -> anyhow::Result<()> {
    let (mut reported, mut renewed) = (None::<Instant>, None::<Instant>);
    let duty = Duty::new("send the worker's heartbeat");
    loop {
        tokio::select! {
            () = drained.cancelled() => return Ok(()),
            () = tokio::time::sleep(CANCEL_INTERVAL) => (),
        }
        let is_due = |at: Option<Instant>, interval| at.is_none_or(|at| at.elapsed() >= interval);
        let outcome: Result<(), Failure> = async {
            if is_due(reported, HEARTBEAT_INTERVAL) {
                report(&shared).await?;
                reported = Some(Instant::now());
            }
            if is_due(renewed, RENEW_INTERVAL) {
                renew(&shared).await?;
                renewed = Some(Instant::now());
            }
            stop_cancelled(&shared).await
        }
        .await;
        duty.report(outcome);
    }
}

/// Writes the heartbeat. A worker that the database does not know (it was restored, say) registers again.
async fn report(shared: &Shared) -> Result<(), Failure> {
    let running = shared.running.lock().await.len() as i32;
    let is_draining = shared.tasks.stop().is_cancelled();
    let mut transaction = shared.store.begin().await?;
    if !store::jobs::workers::beat(&mut transaction, shared.worker_id, running, is_draining).await? {
        store::jobs::workers::register(&mut transaction, shared.worker_id, &shared.spec).await?;
    }
    transaction.commit().await.map_err(Failure::from)
}

/// Renews the leases. Stops attempts that lost theirs, and keeps the permits of the others alive.
async fn renew(shared: &Shared) -> Result<(), Failure> {
    let running: Vec<_> =
        shared.running.lock().await.iter().map(|(id, running)| (*id, running.attempt)).collect();
    if running.is_empty() {
        return Ok(());
    }
    let mut connection = shared.store.connection().await?;
    let renewed = store::jobs::renew(&mut connection, shared.worker_id, &running).await?;
    drop(connection);
    let jobs = shared.running.lock().await;
    // If the broker refuses one message, it refuses all. It delivers the permits again, and they find no job.
    let mut broker_accepts = true;
    for (id, attempt) in running {
        let Some(job) = jobs.get(&id).filter(|job| job.attempt == attempt) else { continue };
        if !renewed.iter().any(|(renewed, _)| *renewed == id) {
            job.stop(StopReason::LeaseLost);
        } else if let Some(permit) = job.permit.as_ref().filter(|_| broker_accepts) {
            broker_accepts = permit.working().await;
        }
    }
    Ok(())
}

async fn stop_cancelled(shared: &Shared) -> Result<(), Failure> {
    if shared.running.lock().await.is_empty() {
        return Ok(());
    }
    let mut connection = shared.store.connection().await?;
    let cancelled = store::jobs::cancelled(&mut connection, shared.worker_id).await?;
    drop(connection);
    let jobs = shared.running.lock().await;
    for job in cancelled.iter().filter_map(|id| jobs.get(id)) {
        job.stop(StopReason::Cancelled);
    }
    Ok(())
}
