//! Pulls permits, one task per queue, while a slot is free.

use std::time::Duration;

use anyhow::Context as _;
use boot::{CancellationToken, Duty};
use bus::{Permit, Permits};
use futures::StreamExt;
use tokio::sync::{mpsc, watch};

use crate::shared::Shared;

/// Pause before the next try when the broker is away or has no stream yet.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Passes on the permits of one queue until stop.
pub(crate) async fn pull(
    shared: Shared,
    queue: String,
    slots: watch::Receiver<usize>,
    permits: mpsc::Sender<Permit>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let duty = Duty::new("pull permits");
    loop {
        let pulled = async {
            let consumer = shared.bus.permits(&queue).await?;
            duty.report(Ok::<_, anyhow::Error>(()));
            pass_on(consumer, slots.clone(), &permits).await
        };
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            outcome = pulled => duty.report(outcome.with_context(|| format!("queue {queue}"))),
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(RETRY_PAUSE) => (),
        }
    }
}

async fn pass_on(
    consumer: Permits,
    mut slots: watch::Receiver<usize>,
    permits: &mpsc::Sender<Permit>,
) -> anyhow::Result<()> {
    loop {
        let free = *slots.wait_for(|&free| free > 0).await?;
        let mut pulled = std::pin::pin!(consumer.pull(free).await?);
        while let Some(permit) = pulled.next().await {
            permits.send(permit?).await?;
        }
    }
}
