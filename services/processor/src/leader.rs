//! Elects the one processor that does the work which only one may do.

use std::time::Duration;

use boot::{CancellationToken, Duty};
use store::{Lease, Store};
use tokio::sync::watch;

/// How often the lease is renewed or requested.
const INTERVAL: Duration = Duration::from_secs(1);
/// The holder of this lease rolls up panes and evaluates live rules.
const LEASE: &str = "processor";

/// Holds or requests the lease until `stop`, and publishes it to the tasks that depend on it. Each of them
/// checks the lease again in its own transaction.
pub(crate) async fn lead(
    store: Store,
    sender: watch::Sender<Option<Lease>>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let duty = Duty::new("renew the processors' lease");
    loop {
        let held = sender.borrow().clone();
        let (now, outcome) = match store.lease(LEASE, held.as_ref()).await {
            Ok(now) => (now, Ok(())),
            Err(failure) => (None, Err(failure)),
        };
        duty.report(outcome);
        sender.send_if_modified(|current| std::mem::replace(current, now.clone()) != now);
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(INTERVAL) => (),
        }
    }
    let held = sender.borrow().clone();
    if let Some(lease) = held
        && let Err(failure) = store.give_up(&lease).await
    {
        tracing::debug!(error = %failure, "could not release the lease");
    }
    Ok(())
}
