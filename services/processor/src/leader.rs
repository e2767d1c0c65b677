//! Who of the processors does what only one may do.

use std::time::Duration;

use boot::{CancellationToken, Duty};
use store::{Lease, Store};
use tokio::sync::watch;

/// How often the lease is renewed, or tried for.
const INTERVAL: Duration = Duration::from_secs(1);
/// The lease whose holder rolls up and judges live rules.
const LEASE: &str = "processor";

/// Holds or tries for the lease until stop, and tells whether it is ours. Who acts on it checks it again in
/// the transaction.
pub(crate) async fn lead(
    store: Store,
    tell: watch::Sender<Option<Lease>>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut duty = Duty::new("renew the processors' lease");
    loop {
        let held = tell.borrow().clone();
        let (now, outcome) = match store.lease(LEASE, held.as_ref()).await {
            Ok(now) => (now, Ok(())),
            Err(failure) => (None, Err(failure)),
        };
        duty.report(outcome);
        tell.send_if_modified(|told| std::mem::replace(told, now.clone()) != now);
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(INTERVAL) => (),
        }
    }
    let held = tell.borrow().clone();
    if let Some(lease) = held
        && let Err(failure) = store.give_up(&lease).await
    {
        tracing::debug!(error = format!("{:#}", anyhow::Error::from(failure)), "could not give up the lease");
    }
    Ok(())
}
