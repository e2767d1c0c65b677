//! Records the processor's position in the streams in Postgres. Comparing the two shows that a broker or a
//! database was restored from a copy; the consumer is then recreated from the lower point.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use boot::{CancellationToken, Duty};
use bus::{
    ConsumerFacts, StreamFacts, StreamMark,
    topology::{DEAD, EVENTS},
};
use store::{Failure, Membership, ingest::positions::Position};

use crate::{Shared, metrics::CONSUMER_RESETS};

const STREAMS: [&str; 2] = [EVENTS, DEAD];
/// How often the positions are compared and recorded.
const INTERVAL: Duration = Duration::from_secs(1);
/// When the database takes longer than this to answer, it counts as unavailable.
const DATABASE_TIMEOUT: Duration = Duration::from_secs(2);
/// Limit of one comparison. If a consumer was deleted but not recreated by then, the next comparison
/// provisions it.
const COMPARE_LIMIT: Duration = Duration::from_secs(30);

/// A processor's membership and the positions it last recorded.
pub(crate) struct PositionWatch {
    membership: Option<Membership>,
    /// For each stream, whether its consumer was compared with the position in the database of this
    /// membership. A new connection may lead to a restored database.
    compared: [bool; 2],
    /// For each stream: the recorded position, and when the consumer was created.
    last: [Option<(Position, i64)>; 2],
    database: Arc<AtomicBool>,
}

impl PositionWatch {
    /// Returns a function that says whether the database answered at the last comparison.
    pub fn database(&self) -> impl Fn() -> bool + Send + Sync + use<> {
        let flag = self.database.clone();
        move || flag.load(Ordering::Relaxed)
    }
}

/// Joins the processors. When no other processor runs, it resets the consumers to the recorded floor: what a
/// killed predecessor had pulled is then delivered now, not after the acknowledgement wait.
pub(crate) async fn join(shared: &Shared) -> anyhow::Result<PositionWatch> {
    let (membership, alone) = shared.store.join_processors().await?;
    for stream in STREAMS {
        let consumer = shared.bus.consumer(stream).await?;
        let Some(consumer) = consumer.filter(|_| alone) else { continue };
        let recorded = recorded(shared, stream).await?;
        let floor = recorded.map_or(0, |position| position.floor);
        if consumer.unacknowledged > 0 || consumer.floor > floor {
            reset(shared, stream, consumer.created, "taking over from the recorded floor").await?;
        }
    }
    Ok(PositionWatch {
        membership: Some(membership),
        compared: [true; 2],
        last: [None; 2],
        database: Arc::new(AtomicBool::new(true)),
    })
}

/// Compares and records until `stop`, and once more at the end.
pub(crate) async fn watch(
    shared: Shared,
    mut positions: PositionWatch,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let duties = ["compare positions with EVENTS", "compare positions with DEAD"].map(Duty::new);
    loop {
        let stopping = stop.is_cancelled();
        let holds = tokio::time::timeout(DATABASE_TIMEOUT, positions.renew(&shared)).await.unwrap_or(false);
        positions.database.store(holds, Ordering::Relaxed);
        for index in if holds { 0..2 } else { 0..0 } {
            let outcome = tokio::time::timeout(COMPARE_LIMIT, positions.compare(&shared, index)).await;
            duties[index].report(outcome.map_err(anyhow::Error::from).and_then(|outcome| outcome));
        }
        if stopping {
            return Ok(());
        }
        tokio::select! {
            () = stop.cancelled() => (),
            () = tokio::time::sleep(INTERVAL) => (),
        }
    }
}

impl PositionWatch {
    /// Takes a new membership when the connection of the old one was lost. Returns whether there is one.
    async fn renew(&mut self, shared: &Shared) -> bool {
        if let Some(held) = &mut self.membership
            && held.holds().await
        {
            return true;
        }
        self.compared = [false; 2];
        self.membership = shared.store.join_processors().await.ok().map(|(membership, _)| membership);
        self.membership.is_some()
    }

    /// Compares one stream: provisions what is missing, resets a consumer that went back, records the
    /// position.
    async fn compare(&mut self, shared: &Shared, index: usize) -> anyhow::Result<()> {
        let stream = STREAMS[index];
        // Use only the connection of the membership. When the database is replaced in between, the connection
        // ends and nothing is recorded.
        let connection = self.membership.as_mut().context("no connection")?.connection();
        // Read the recorded position first, so that we see the stream later than the processor that recorded
        // it.
        let recorded =
            store::ingest::positions::get(connection, stream).await.map_err(anyhow::Error::from)?;
        // Read the consumer before the stream, because the stream may grow in between.
        let (consumer, facts) = (shared.bus.consumer(stream).await?, shared.bus.stream(stream).await?);
        let last = self.last[index].take();
        let (Some(facts), Some(consumer)) = (facts, consumer) else {
            tracing::warn!(stream, "the stream or its consumer is missing; creating it");
            return shared.bus.provision(&shared.topology).await;
        };
        let floor = recorded
            .filter(|position| position.created == facts.created)
            .map_or(0, |position| position.floor);
        let why = if !self.compared[index] && consumer.floor > floor {
            Some(
                "the connection to the database was lost, and its floor is lower: it may have been restored from a copy",
            )
        } else {
            went_back(recorded, last, &facts, &consumer)
        };
        self.compared[index] = true;
        if let Some(why) = why {
            shared.release.notify_one();
            return reset(shared, stream, consumer.created, why)
                .await
                .inspect_err(|_| self.compared[index] = false);
        }
        let seen = Position { created: facts.created, last_seq: facts.last_seq, floor: consumer.floor };
        if recorded != Some(seen) {
            store::ingest::positions::record(connection, stream, seen).await.map_err(anyhow::Error::from)?;
        }
        shared.set_mark(stream, StreamMark { created: seen.created, floor: seen.floor });
        self.last[index] = Some((seen, consumer.created));
        Ok(())
    }
}

/// Returns why the consumer must be recreated, if it must.
fn went_back(
    recorded: Option<Position>,
    last: Option<(Position, i64)>,
    facts: &StreamFacts,
    consumer: &ConsumerFacts,
) -> Option<&'static str> {
    if consumer.delivered.max(consumer.floor) > facts.last_seq {
        return Some("the consumer is ahead of the stream: the broker was restored from a copy");
    }
    let recorded = recorded.filter(|position| position.created == facts.created);
    if recorded.is_some_and(|position| facts.last_seq < position.last_seq) {
        return Some("the stream's last sequence went back: the broker was restored from a copy");
    }
    // Compare only with a position that this process recorded for the same consumer: another processor may
    // have reset it meanwhile.
    let (mine, made) = last?;
    let floor = recorded.map_or(0, |position| position.floor);
    if mine.created == facts.created
        && made == consumer.created
        && floor < mine.floor
        && consumer.floor >= mine.floor
    {
        return Some("the recorded floor went back: the database was restored from a copy");
    }
    None
}

/// Recreates the consumer from the lower of the two positions, that of the stream and that of Postgres.
/// `made` is the creation time of the consumer that was compared, so that only one processor recreates it.
/// Waits until the ingest has released the consumers; the caller has asked it to.
async fn reset(shared: &Shared, stream: &str, made: i64, why: &'static str) -> anyhow::Result<()> {
    let _unbound = shared.bound.write().await;
    let mut transaction = shared.store.lock_consumers().await?;
    let (consumer, facts) = (shared.bus.consumer(stream).await?, shared.bus.stream(stream).await?);
    let Some(facts) = facts.filter(|_| consumer.is_some_and(|consumer| consumer.created == made)) else {
        return Ok(());
    };
    let recorded =
        store::ingest::positions::get(&mut transaction, stream).await.map_err(anyhow::Error::from)?;
    let floor = recorded
        .filter(|position| position.created == facts.created)
        .map_or(0, |position| position.floor.min(facts.last_seq));
    tracing::warn!(stream, from = floor + 1, why, "recreating the consumer");
    metrics::counter!(CONSUMER_RESETS).increment(1);
    shared.bus.reset_consumer(stream, floor + 1, &shared.topology).await?;
    let position = Position { created: facts.created, last_seq: facts.last_seq, floor };
    store::ingest::positions::record(&mut transaction, stream, position)
        .await
        .map_err(anyhow::Error::from)?;
    transaction.commit().await?;
    Ok(())
}

async fn recorded(shared: &Shared, stream: &str) -> Result<Option<Position>, Failure> {
    let mut connection = shared.store.connection().await?;
    store::ingest::positions::get(&mut connection, stream).await
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONSUMER: ConsumerFacts =
        ConsumerFacts { created: 7, floor: 50, delivered: 60, pending: 0, unacknowledged: 10 };
    const STREAM: StreamFacts =
        StreamFacts { created: 1, first_seq: 1, last_seq: 100, messages: 100, bytes: 0 };
    const SEEN: Position = Position { created: 1, last_seq: 100, floor: 50 };

    #[test]
    fn a_consumer_that_agrees_with_its_position_is_not_reset() {
        assert_eq!(went_back(Some(SEEN), Some((SEEN, 7)), &STREAM, &CONSUMER), None);
        assert_eq!(went_back(None, None, &STREAM, &CONSUMER), None);
    }

    #[test]
    fn a_restored_broker_or_database_is_noticed() {
        let short = StreamFacts { last_seq: 55, ..STREAM };
        assert!(
            went_back(Some(SEEN), None, &short, &CONSUMER).is_some(),
            "the consumer is ahead of the stream"
        );
        let behind = ConsumerFacts { floor: 50, delivered: 50, ..CONSUMER };
        assert!(went_back(Some(SEEN), None, &short, &behind).is_some(), "the stream went back");
        let old = Position { floor: 20, ..SEEN };
        assert!(
            went_back(Some(old), Some((SEEN, 7)), &STREAM, &CONSUMER).is_some(),
            "the database went back"
        );
        assert_eq!(
            went_back(Some(old), Some((SEEN, 6)), &STREAM, &CONSUMER),
            None,
            "another processor reset the consumer already"
        );
        let another = StreamFacts { created: 2, ..short };
        assert_eq!(
            went_back(Some(SEEN), None, &another, &behind),
            None,
            "a new stream starts from its own beginning"
        );
    }
}
