//! The outbox relay publishes what transactions queued, and publishes it again when the broker lost it. The
//! sweep closes idle sessions.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use boot::{CancellationToken, Duty};
use bus::{Bus, Subject, topology};
use store::{Connection, Store};

use crate::{Shared, metrics::DEAD_LETTERS_EMPTIED};

/// Messages published in one transaction of the relay.
const BATCH: i64 = 500;
/// How often the outbox is read when no task reports a new message.
const RELAY_INTERVAL: Duration = Duration::from_secs(1);
/// How often the sweep closes idle sessions and looks for lost messages.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);

/// How often the limit on dead letters is applied.
const LIMIT_INTERVAL: Duration = Duration::from_secs(60);

/// For each prefix of subjects in the outbox, the stream that stores them.
const STREAMS: [(&str, &str); 3] = [
    ("cowrie.sessions.", topology::SESSIONS),
    ("cowrie.findings.", topology::FINDINGS),
    ("cowrie.jobs.", topology::JOBS),
];

pub(crate) async fn relay(shared: Shared, stop: CancellationToken) -> anyhow::Result<()> {
    let duty = Duty::new("publish the outbox");
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = shared.queued.notified() => (),
            () = tokio::time::sleep(RELAY_INTERVAL) => (),
        }
        duty.report(publish_all(&shared.store, &shared.bus).await);
    }
}

/// Closes idle sessions and queues again what the broker lost, until `stop`.
pub(crate) async fn sweep(shared: Shared, stop: CancellationToken) -> anyhow::Result<()> {
    let mut limited = None::<Instant>;
    let limit_duty = Duty::new("keep dead letters under their limit");
    let sweep_duty = Duty::new("close idle sessions and look for lost messages");
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(SWEEP_INTERVAL) => (),
        }
        if limited.is_none_or(|at| at.elapsed() >= LIMIT_INTERVAL) {
            limited = Some(Instant::now());
            limit_duty.report(limit(&shared).await);
        }
        sweep_duty.report(sweep_once(&shared.store, &shared.bus).await);
        shared.queued.notify_one();
    }
}

async fn limit(shared: &Shared) -> anyhow::Result<()> {
    let mut connection = shared.store.connection().await?;
    let letters = store::ingest::dead_letters::limit(&mut connection, shared.dead_letters_max_bytes).await?;
    if letters > 0 {
        tracing::warn!(
            letters,
            limit = shared.dead_letters_max_bytes,
            "emptied the oldest dead letters to stay under the limit"
        );
        metrics::counter!(DEAD_LETTERS_EMPTIED).increment(letters);
    }
    Ok(())
}

/// Closes idle sessions and publishes everything queued. `--once` ends with it.
pub async fn settle(store: &Store, bus: &Bus) -> anyhow::Result<()> {
    sweep_once(store, bus).await?;
    publish_all(store, bus).await
}

async fn sweep_once(store: &Store, bus: &Bus) -> anyhow::Result<()> {
    loop {
        let mut transaction = store.begin().await?;
        let ended = store::ingest::sessions::close_idle(&mut transaction).await?;
        store::features::refresh(&mut transaction, &ended).await?;
        transaction.commit().await?;
        if ended.is_empty() {
            break;
        }
    }
    for (subjects, stream) in STREAMS {
        let mut transaction = store.begin().await?;
        store::ingest::outbox::lock_places(&mut transaction).await?;
        let Some(facts) = bus.stream(stream).await? else { continue };
        let lost =
            store::ingest::outbox::queue_lost(&mut transaction, subjects, facts.created, facts.last_seq)
                .await?;
        transaction.commit().await?;
        if lost > 0 {
            tracing::warn!(stream, messages = lost, "the broker lost messages; publishing them again");
        }
    }
    let mut connection = store.connection().await?;
    store::ingest::outbox::forget_published(&mut connection).await?;
    Ok(())
}

async fn publish_all(store: &Store, bus: &Bus) -> anyhow::Result<()> {
    while bus.connected() {
        let mut transaction = store.begin().await?;
        let published = publish(&mut transaction, bus).await?;
        transaction.commit().await?;
        if published < BATCH {
            break;
        }
    }
    Ok(())
}

/// Publishes one batch and marks it as published. Returns its number of messages.
async fn publish(on: &mut Connection, bus: &Bus) -> anyhow::Result<i64> {
    store::ingest::outbox::lock_relay(on).await?;
    let queued = store::ingest::outbox::queued(on, BATCH).await?;
    let mut acks = Vec::with_capacity(queued.len());
    let count = queued.len() as i64;
    for message in queued {
        let stream = STREAMS
            .iter()
            .find(|(subjects, _)| message.subject.starts_with(subjects))
            .map(|(_, stream)| *stream);
        let stream = stream
            .with_context(|| format!("outbox row {}: no stream stores {}", message.id, message.subject))?;
        let ack =
            bus.publish_queued(Subject::stored(message.subject), &message.msg_id, message.payload).await?;
        acks.push((message.id, stream, ack));
    }
    let mut done = Vec::with_capacity(acks.len());
    for (id, stream, ack) in acks {
        done.push((stream, (id, ack.await?.seq)));
    }
    for (_, stream) in STREAMS {
        let mine: Vec<_> = done.iter().filter(|(name, _)| *name == stream).map(|(_, place)| *place).collect();
        if mine.is_empty() {
            continue;
        }
        let facts = bus.stream(stream).await?.with_context(|| format!("stream {stream} is gone"))?;
        store::ingest::outbox::mark_published(on, facts.created, &mine).await?;
    }
    Ok(count)
}
