//! Signs of life: of the worker, of its leases and of the permits it holds; and what others want of its jobs.

use std::time::{Duration, Instant};

use boot::{CancellationToken, Duty};
use store::Failure;

use crate::{Shared, attempt::Why};

/// How often it is asked whether somebody cancelled a job of ours.
const LOOK: Duration = Duration::from_millis(400);
/// How often the worker says that it lives, and how many jobs it has.
const ALIVE: Duration = Duration::from_secs(2);
/// How often leases and permits are renewed.
const RENEW: Duration = Duration::from_secs(5);

/// Until every job has ended.
pub(crate) async fn beat(shared: Shared, drained: CancellationToken) -> anyhow::Result<()> {
    let (mut alive, mut renewed) = (None::<Instant>, None::<Instant>);
    let mut duty = Duty::new("send the worker's heartbeat");
    loop {
        tokio::select! {
            () = drained.cancelled() => return Ok(()),
            () = tokio::time::sleep(LOOK) => (),
        }
        let due = |at: Option<Instant>, every| at.is_none_or(|at| at.elapsed() >= every);
        let outcome: Result<(), Failure> = async {
            if due(alive, ALIVE) {
                say_alive(&shared).await?;
                alive = Some(Instant::now());
            }
            if due(renewed, RENEW) {
                renew(&shared).await?;
                renewed = Some(Instant::now());
            }
            cancel(&shared).await
        }
        .await;
        duty.report(outcome);
    }
}

async fn say_alive(shared: &Shared) -> Result<(), Failure> {
    let running = shared.running.lock().await.len() as i32;
    let mut transaction = shared.store.begin().await?;
    if !store::beat_worker(&mut transaction, shared.worker_id, running, shared.tasks.stop().is_cancelled())
        .await?
    {
        store::register_worker(&mut transaction, shared.worker_id, &shared.spec).await?;
    }
    transaction.commit().await.map_err(Failure::from)
}

async fn renew(shared: &Shared) -> Result<(), Failure> {
    let running: Vec<_> =
        shared.running.lock().await.iter().map(|(id, running)| (*id, running.attempt)).collect();
    if running.is_empty() {
        return Ok(());
    }
    let mut connection = shared.store.connection().await?;
    let ours = store::renew_jobs(&mut connection, shared.worker_id, &running).await?;
    drop(connection);
    let held = shared.running.lock().await;
    // A broker that does not take one message takes none: the permits come back, and find nothing.
    let mut broker = true;
    for (id, attempt) in running {
        let Some(job) = held.get(&id).filter(|job| job.attempt == attempt) else { continue };
        if !ours.iter().any(|(ours, _)| *ours == id) {
            job.stop(Why::Lost);
        } else if let Some(permit) = job.permit.as_ref().filter(|_| broker) {
            broker = permit.working().await;
        }
    }
    Ok(())
}

async fn cancel(shared: &Shared) -> Result<(), Failure> {
    if shared.running.lock().await.is_empty() {
        return Ok(());
    }
    let mut connection = shared.store.connection().await?;
    let unwanted = store::cancelled_jobs(&mut connection, shared.worker_id).await?;
    drop(connection);
    let held = shared.running.lock().await;
    for job in unwanted.iter().filter_map(|id| held.get(id)) {
        job.stop(Why::Cancelled);
    }
    Ok(())
}
