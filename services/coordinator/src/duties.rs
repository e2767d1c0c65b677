//! What only one coordinator does: takes jobs from workers that are gone, fires schedules, and forgets old
//! jobs.

use std::time::Duration;

use boot::CancellationToken;
use bus::topology::{JOBS, STATUS, TopologyArgs};
use store::{Failure, Lease};

use crate::{desk::Desk, schedules, submissions::tell};

/// How often.
const INTERVAL: Duration = Duration::from_secs(1);
/// The duty's name.
const DUTY: &str = "coordinator";

/// Holds or tries for the lease until stop, and does what is due while it is ours.
pub(crate) async fn lead(
    desk: Desk,
    topology: TopologyArgs,
    jobs_days: Option<u32>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut held = None::<Lease>;
    let (mut more, mut failing) = (false, false);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(if more { Duration::ZERO } else { INTERVAL }) => (),
        }
        let outcome = async {
            held = desk.store.lease(DUTY, held.as_ref()).await?;
            match &held {
                Some(lease) => work(&desk, lease, jobs_days).await,
                None => Ok(false),
            }
        };
        let outcome = outcome.await;
        more = matches!(outcome, Ok(true));
        let failed = outcome.is_err();
        if let Err(failure) = outcome
            && !failing
        {
            tracing::warn!(
                error = format!("{:#}", anyhow::Error::from(failure)),
                "could not sweep jobs and fire schedules; will retry each second"
            );
        }
        failing = failed;
        if held.is_some()
            && let Err(error) = streams(&desk, &topology).await
        {
            tracing::debug!(error = format!("{error:#}"), "the streams of jobs wait");
        }
    }
    if let Some(lease) = &held {
        desk.store.give_up(lease).await.ok();
    }
    Ok(())
}

/// Makes the streams anew when the broker lost them. Permits that went with them cost a second: workers look
/// by themselves.
async fn streams(desk: &Desk, topology: &TopologyArgs) -> anyhow::Result<()> {
    if desk.bus.connected()
        && (desk.bus.stream(JOBS).await?.is_none() || desk.bus.stream(STATUS).await?.is_none())
    {
        tracing::warn!("the broker lost the streams of jobs: making them anew");
        desk.bus.provision(topology).await?;
    }
    Ok(())
}

/// Whether there is more to do at once.
async fn work(desk: &Desk, lease: &Lease, jobs_days: Option<u32>) -> Result<bool, Failure> {
    let mut transaction = desk.store.begin().await?;
    if !store::still_holds(&mut transaction, lease).await? {
        return Ok(false);
    }
    let changed = store::sweep_jobs(&mut transaction).await?;
    if let Some(days) = jobs_days {
        store::forget_jobs(&mut transaction, days).await?;
    }
    transaction.commit().await.map_err(Failure::from)?;
    for status in &changed {
        let why = status.error.as_ref().map_or("", |error| error.message.as_str());
        tracing::warn!(job_id = %status.job_id, state = %status.state, why, "took a job from its worker");
        tell(&desk.bus, status).await;
    }
    if !changed.is_empty() {
        desk.changed.notify_one();
    }
    schedules::fire(desk, lease).await
}
