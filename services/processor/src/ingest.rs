//! The one loop in which the stream and the database meet.

use std::{collections::BTreeMap, time::Duration};

use boot::CancellationToken;
use bus::{Batch, Intake, Receipts};
use events::SensorId;
use futures::future::join_all;
use store::Failure;
use tokio::sync::Mutex;

use crate::{
    Shared,
    keep::{Kept, keep},
    metrics::{BATCH_MESSAGES, BATCH_SECONDS, EVENTS, LATE_EVENTS, REJECTED},
    prepare::Prepared,
};

/// Pauses between attempts while the database or the broker is unavailable.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Receives, commits and acknowledges batches until `stop`. One writer takes the next batch while another one
/// commits. The writers share one intake, so neighbours in the stream (a session's events) stay in one batch.
pub(crate) async fn ingest(shared: Shared, writers: u32, stop: CancellationToken) -> anyhow::Result<()> {
    let mut pause = FIRST_PAUSE;
    while !stop.is_cancelled() {
        let bound = shared.bound.read().await;
        let outcome = match Intake::open(&shared.bus, shared.limits).await {
            Ok(intake) => {
                pause = FIRST_PAUSE;
                let (intake, end) = (Mutex::new(intake), stop.child_token());
                let outcomes =
                    join_all((0..writers).map(|_| write_batches(&shared, &intake, &end, &stop))).await;
                intake.into_inner().hand_back(&shared.bus).await;
                outcomes.into_iter().collect::<anyhow::Result<()>>()
            }
            Err(error) => Err(error),
        };
        drop(bound);
        if let Err(error) = outcome {
            tracing::warn!(error = format!("{error:#}"), "binding the consumers again");
            backoff(&mut pause, &stop).await;
        }
    }
    Ok(())
}

/// One writer. Works until `stop`, or until the consumers must be bound again. When one writer returns, the
/// others finish their current batch and return too.
async fn write_batches(
    shared: &Shared,
    intake: &Mutex<Intake>,
    end: &CancellationToken,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let _ends_all = end.clone().drop_guard();
    loop {
        let batch = tokio::select! {
            biased;
            () = end.cancelled() => return Ok(()),
            () = shared.release.notified() => return Ok(()),
            batch = async { intake.lock().await.next().await } => batch?,
        };
        let Some(kept) = commit(shared, &batch, stop).await else { return Ok(()) };
        answer(shared, batch, kept).await?;
    }
}

/// Commits a batch. Waits for the database, and halves the batch when the database refuses it. Returns `None`
/// when stopped before the commit.
async fn commit(shared: &Shared, batch: &Batch, stop: &CancellationToken) -> Option<Kept> {
    let started = std::time::Instant::now();
    // The spans end with the commit.
    let _spans: Vec<_> = batch
        .items
        .iter()
        .filter_map(|item| item.trace.as_deref())
        .map(|trace| boot::span("keep", Some(trace)))
        .collect();
    let mut total = Kept::default();
    let mut todo: Vec<Vec<Prepared<'_>>> = vec![batch.items.iter().map(Prepared::of).collect()];
    let mut pause = FIRST_PAUSE;
    let (mut again, mut failures) = (false, 0);
    while let Some(part) = todo.pop() {
        match keep(&shared.store, &part, shared.windows, Some(&shared.live)).await {
            Ok(kept) => {
                pause = FIRST_PAUSE;
                (again, failures) = (false, 0);
                total.add(kept);
            }
            Err(Failure::Retry(error)) => {
                tracing::warn!(
                    error = format!("{error:#}"),
                    events = part.len(),
                    "could not commit a batch; will retry"
                );
                backoff(&mut pause, stop).await;
                if stop.is_cancelled() {
                    return None;
                }
                failures += 1;
                // The batch may exceed the time limit of one statement.
                todo.extend(if failures % 3 == 0 { halves(part) } else { vec![part] });
            }
            Err(Failure::Reject(error)) => {
                shared.store.forget_days();
                todo.extend(halve_or_reject(part, &error, &mut again));
            }
        }
    }
    metrics::histogram!(BATCH_SECONDS).record(started.elapsed().as_secs_f64());
    metrics::histogram!(BATCH_MESSAGES).record(batch.items.len() as f64);
    Some(total)
}

/// Returns what to try instead of a refused part: its halves. A single event is tried once more, and then
/// becomes a dead letter.
fn halve_or_reject<'a>(
    part: Vec<Prepared<'a>>,
    error: &anyhow::Error,
    again: &mut bool,
) -> Vec<Vec<Prepared<'a>>> {
    if part.len() > 1 {
        return halves(part);
    }
    if !*again {
        *again = true;
        return vec![part];
    }
    *again = false;
    tracing::warn!(error = format!("{error:#}"), "the database refused an event; stored it as a dead letter");
    metrics::counter!(REJECTED).increment(1);
    part.iter().map(|one| vec![one.rejected(format!("{error:#}"))]).collect()
}

/// Returns both halves in reverse order, because the last one is taken first. A single event stays as it is.
fn halves(mut part: Vec<Prepared<'_>>) -> Vec<Vec<Prepared<'_>>> {
    let half = part.split_off(part.len() / 2);
    [half, part].into_iter().filter(|half| !half.is_empty()).collect()
}

/// Acknowledges what was committed and sends the receipts. When receipts are lost, the loader asks for them.
async fn answer(shared: &Shared, batch: Batch, kept: Kept) -> anyhow::Result<()> {
    count(&kept);
    let [stream, dead] = shared.marks();
    let mut by_sensor = BTreeMap::<SensorId, Receipts>::new();
    for receipt in kept.receipts {
        let receipts =
            by_sensor.entry(receipt.sensor).or_insert_with(|| Receipts { stream, dead, files: Vec::new() });
        receipts.files.push((receipt.file, receipt.committed));
    }
    batch.acknowledge(&shared.bus).await?;
    for (sensor, receipts) in by_sensor {
        shared.bus.send_receipts(&sensor, &receipts).await?;
    }
    shared.queued.notify_one();
    Ok(())
}

fn count(kept: &Kept) {
    for delivery in kept.deliveries.values() {
        let new = delivery.events - delivery.duplicates - delivery.sealed;
        for (result, n) in [("new", new), ("duplicate", delivery.duplicates), ("sealed", delivery.sealed)] {
            metrics::counter!(EVENTS, "result" => result).increment(n.max(0) as u64);
        }
        metrics::counter!(LATE_EVENTS).increment(delivery.late.max(0) as u64);
    }
}

/// Waits for `pause` or until `stop`, and doubles the pause.
async fn backoff(pause: &mut Duration, stop: &CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => (),
        () = tokio::time::sleep(*pause) => (),
    }
    *pause = (*pause * 2).min(LONGEST_PAUSE);
}

impl Kept {
    /// Adds what another part of the same batch changed. For each file, the later receipt replaces the
    /// earlier one.
    fn add(&mut self, other: Self) {
        for receipt in other.receipts {
            self.receipts.retain(|mine| (&mine.sensor, mine.file) != (&receipt.sensor, receipt.file));
            self.receipts.push(receipt);
        }
        for (sensor, more) in other.deliveries {
            let sum = self.deliveries.entry(sensor).or_default();
            sum.events += more.events;
            sum.duplicates += more.duplicates;
            sum.sealed += more.sealed;
            sum.late += more.late;
            sum.live += more.live;
        }
    }
}
