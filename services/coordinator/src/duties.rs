//! The duties of the coordinator that holds the lease: takes jobs from dead workers, fires schedules, and
//! deletes old jobs.

use std::time::Duration;

use boot::{CancellationToken, Duty};
use bus::topology::{JOBS, STATUS, TopologyArgs};
use store::{Failure, Lease};

use crate::{Args, schedules, service::Service, submissions::publish_status};

const INTERVAL: Duration = Duration::from_secs(1);
/// Name of the lease.
const DUTY: &str = "coordinator";

/// For how many days rows are kept.
#[derive(Clone, Copy)]
pub(crate) struct Keep {
    jobs: Option<u32>,
    audit: u32,
}

impl Keep {
    pub fn of(args: &Args) -> Self {
        Self { jobs: args.jobs_days, audit: args.audit_days }
    }
}

/// Holds or tries to get the lease until stop, and works while it is held.
pub(crate) async fn lead(
    service: Service,
    topology: TopologyArgs,
    keep: Keep,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut held = None::<Lease>;
    let mut more = false;
    let jobs_duty = Duty::new("sweep jobs and fire schedules");
    let streams_duty = Duty::new("look for the streams of jobs");
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(if more { Duration::ZERO } else { INTERVAL }) => (),
        }
        let outcome = async {
            held = service.store.lease(DUTY, held.as_ref()).await?;
            match &held {
                Some(lease) => work(&service, lease, keep).await,
                None => Ok(false),
            }
        };
        let outcome = outcome.await;
        more = matches!(outcome, Ok(true));
        jobs_duty.report(outcome.map(|_| ()));
        if held.is_some() {
            streams_duty.report(streams(&service, &topology).await);
        }
    }
    if let Some(lease) = &held {
        service.store.give_up(lease).await.ok();
    }
    Ok(())
}

/// Creates the streams again when the broker lost them. Workers also look by themselves: each permit that was
/// lost costs a second.
async fn streams(service: &Service, topology: &TopologyArgs) -> anyhow::Result<()> {
    if service.bus.connected()
        && (service.bus.stream(JOBS).await?.is_none() || service.bus.stream(STATUS).await?.is_none())
    {
        tracing::warn!("the broker lost the streams of jobs: creating them again");
        service.bus.provision(topology).await?;
    }
    Ok(())
}

/// Returns whether there is more to do at once.
async fn work(service: &Service, lease: &Lease, keep: Keep) -> Result<bool, Failure> {
    let mut transaction = service.store.begin().await?;
    if !store::still_holds(&mut transaction, lease).await? {
        return Ok(false);
    }
    let changed = store::jobs::sweep(&mut transaction).await?;
    if let Some(days) = keep.jobs {
        store::jobs::forget(&mut transaction, days).await?;
    }
    store::keys::audit::forget(&mut transaction, keep.audit).await?;
    transaction.commit().await.map_err(Failure::from)?;
    for status in &changed {
        let why = status.error.as_ref().map_or("", |error| error.message.as_str());
        tracing::warn!(job_id = %status.job_id, state = %status.state, why, "took a job from its worker");
        publish_status(&service.bus, status).await;
    }
    if !changed.is_empty() {
        service.changed.notify_one();
    }
    schedules::fire(service, lease).await
}
