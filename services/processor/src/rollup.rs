//! The roll-up merges many fine panes into coarser ones and drops expired partitions. It also computes panes
//! and features for events that were stored before these existed. A duty of the leader.

use std::time::{Duration, Instant};

use boot::{CancellationToken, Duty};
use store::{Failure, Lease, Store, windows::panes::Grain};
use tokio::sync::watch;

use crate::metrics::{BACKFILLED_SESSIONS, ROLL_UP_LAG_SECONDS, ROLL_UP_VISITS, ROLLED_UP_ROWS};

/// How often it looks for work.
const INTERVAL: Duration = Duration::from_secs(5);
/// A span is rolled up only after no batch has written to it for this long.
const SETTLED: Duration = Duration::from_secs(10);
/// How often it looks for expired partitions.
const RETENTION_INTERVAL: Duration = Duration::from_secs(600);

/// How long panes are kept. Default: unlimited.
#[derive(Clone, Copy, Debug, clap::Args)]
#[group(skip)]
pub struct Retention {
    /// Days to keep minute resolution, in whole weeks; earlier windows begin and end with the hour. Default:
    /// unlimited
    #[arg(long, env = "COWRIESTREAM_KEEP_MINUTES_DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500), value_name = "DAYS")]
    pub keep_minutes_days: Option<u32>,
    /// Days to keep hour resolution, in whole months; earlier windows begin and end with the day (UTC).
    /// Default: unlimited
    #[arg(long, env = "COWRIESTREAM_KEEP_HOURS_DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500), value_name = "DAYS")]
    pub keep_hours_days: Option<u32>,
}

/// Rolls up until `stop`, while this processor holds the lease.
pub(crate) async fn roll_up(
    store: Store,
    retention: Retention,
    lease: watch::Receiver<Option<Lease>>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut looked = None::<Instant>;
    let work_duty = Duty::new("roll up panes or add earlier events to the windows");
    let retention_duty = Duty::new("drop expired panes");
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(INTERVAL) => (),
        }
        let Some(held) = lease.borrow().clone() else { continue };
        loop {
            let outcome = work(&store, &held, &stop).await;
            let more = matches!(outcome, Ok(true));
            work_duty.report(outcome.map(drop));
            if !more || stop.is_cancelled() {
                break;
            }
        }
        if looked.is_none_or(|at| at.elapsed() >= RETENTION_INTERVAL) {
            looked = Some(Instant::now());
            retention_duty.report(drop_expired(&store, retention, &held).await);
        }
    }
}

/// Does one round of work. Returns whether more work is due now.
async fn work(store: &Store, lease: &Lease, stop: &CancellationToken) -> Result<bool, Failure> {
    let mut transaction = store.begin().await?;
    if !store::still_holds(&mut transaction, lease).await? {
        return Ok(false);
    }
    if let Some(day) = store::windows::recount::backfill_day(&mut transaction).await? {
        let left = store::windows::recount::backfill_left(&mut transaction).await?;
        transaction.commit().await?;
        tracing::info!(%day, left, "added a day of earlier events to the windows");
        return Ok(true);
    }
    let features = store::features::backfill(&mut transaction, false).await?;
    if features.sessions > 0 {
        transaction.commit().await?;
        metrics::counter!(BACKFILLED_SESSIONS).increment(features.sessions);
        return Ok(true);
    }
    let visits = store::windows::rollup::due_visits(&mut transaction, SETTLED).await?;
    let status = store::status::windows(&mut transaction).await?;
    transaction.commit().await?;
    metrics::gauge!(ROLL_UP_LAG_SECONDS).set(status.roll_up_lag_seconds);
    metrics::gauge!(ROLL_UP_VISITS).set(status.visits as f64);
    for visit in visits {
        while !stop.is_cancelled() {
            let mut transaction = store.begin().await?;
            if !store::still_holds(&mut transaction, lease).await? {
                return Ok(false);
            }
            let taken = store::windows::rollup::visit(&mut transaction, visit).await?;
            if taken == 0 {
                store::windows::rollup::end_visit(&mut transaction, visit).await?;
            }
            transaction.commit().await?;
            metrics::counter!(ROLLED_UP_ROWS).increment(taken);
            if taken == 0 {
                break;
            }
        }
    }
    Ok(false)
}

/// Drops the partitions that are older than the retention.
async fn drop_expired(store: &Store, retention: Retention, lease: &Lease) -> Result<(), Failure> {
    for (grain, days) in
        [(Grain::Minute, retention.keep_minutes_days), (Grain::Hour, retention.keep_hours_days)]
    {
        let Some(days) = days else { continue };
        let before = boot::now() - chrono::Duration::days(days.into());
        let mut connection = store.connection().await?;
        store::unhurried(&mut connection).await?;
        while store::still_holds(&mut connection, lease).await?
            && let Some(partition) =
                store::windows::rollup::drop_oldest(&mut connection, grain, before).await?
        {
            tracing::info!(partition, "dropped expired panes; coarser panes keep their sums");
        }
        // Its settings differ from those of the pool.
        connection.detach();
    }
    Ok(())
}
