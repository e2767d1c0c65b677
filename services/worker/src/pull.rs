//! Permits: one task a queue pulls them while a slot is free.

use std::time::Duration;

use boot::CancellationToken;
use bus::Permit;
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
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            outcome = bound(&shared, &queue, slots.clone(), &tell) => {
                if let Err(error) = outcome {
                    tracing::debug!(queue, error = format!("{error:#}"), "no permits for now");
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(PAUSE) => (),
        }
    }
}

async fn bound(
    shared: &Shared,
    queue: &str,
    mut slots: watch::Receiver<usize>,
    tell: &mpsc::Sender<Permit>,
) -> anyhow::Result<()> {
    let permits = shared.bus.permits(queue).await?;
    loop {
        let free = *slots.wait_for(|&free| free > 0).await?;
        let mut pulled = std::pin::pin!(permits.pull(free).await?);
        while let Some(permit) = pulled.next().await {
            tell.send(permit?).await?;
        }
    }
}
