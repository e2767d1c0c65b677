//! Permits: one task a queue pulls them while a slot is free.

use std::time::Duration;

use anyhow::Context as _;
use boot::{CancellationToken, Duty};
use bus::{Permit, Permits};
use futures::StreamExt;
use tokio::sync::{mpsc, watch};

use crate::Shared;

/// Before the next try when the broker is away, or has no stream yet.
const PAUSE: Duration = Duration::from_secs(1);

/// Hands on permits of one queue until stop.
pub(crate) async fn pull(
    shared: Shared,
    queue: String,
    slots: watch::Receiver<usize>,
    tell: mpsc::Sender<Permit>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut duty = Duty::new("pull permits");
    loop {
        let pulled = async {
            let permits = shared.bus.permits(&queue).await?;
            duty.report(Ok::<_, anyhow::Error>(()));
            hand_on(permits, slots.clone(), &tell).await
        };
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            outcome = pulled => duty.report(outcome.with_context(|| format!("queue {queue}"))),
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(PAUSE) => (),
        }
    }
}

async fn hand_on(
    permits: Permits,
    mut slots: watch::Receiver<usize>,
    tell: &mpsc::Sender<Permit>,
) -> anyhow::Result<()> {
    loop {
        let free = *slots.wait_for(|&free| free > 0).await?;
        let mut pulled = std::pin::pin!(permits.pull(free).await?);
        while let Some(permit) = pulled.next().await {
            tell.send(permit?).await?;
        }
    }
}
