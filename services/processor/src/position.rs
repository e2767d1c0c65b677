//! The processor's place in the streams, recorded in Postgres: a broker or a database that was restored from
//! a copy is noticed by comparing the two, and the consumer is made anew from the lower point.

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
use store::{Failure, Membership, Position};

use crate::Shared;

const STREAMS: [&str; 2] = [EVENTS, DEAD];
/// How often the place is compared and recorded.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long the database may take to answer before it counts as away.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long one comparison may take; a consumer that was deleted and not made anew by then is provisioned at
/// the next look.
const LOOK_LIMIT: Duration = Duration::from_secs(30);

/// A processor's membership and what it last recorded.
pub(crate) struct Place {
    membership: Option<Membership>,
    /// Whether the consumers were compared with what this membership's database recorded. A new connection
    /// may lead to a restored one.
    compared: [bool; 2],
    /// For each stream: the recorded position, and when the consumer was made.
    last: [Option<(Position, i64)>; 2],
    database: Arc<AtomicBool>,
}

impl Place {
    /// Whether the database answered at the last look.
    pub fn database(&self) -> impl Fn() -> bool + Send + Sync + use<> {
        let flag = self.database.clone();
        move || flag.load(Ordering::Relaxed)
    }
}

/// Joins the processors. The only one takes over from the recorded floor, so that what a killed predecessor
/// had in its hands is delivered now and not after the acknowledgement wait.
pub(crate) async fn take_place(shared: &Shared) -> anyhow::Result<Place> {
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
    Ok(Place {
        membership: Some(membership),
        compared: [true; 2],
        last: [None; 2],
        database: Arc::new(AtomicBool::new(true)),
    })
}

/// Compares and records until stop, and once more at the end.
pub(crate) async fn watch(shared: Shared, mut place: Place, stop: CancellationToken) -> anyhow::Result<()> {
    let mut duties = STREAMS.map(|_| Duty::new("compare positions with the streams"));
    loop {
        let stopping = stop.is_cancelled();
        let holds = tokio::time::timeout(PATIENCE, place.renew(&shared)).await.unwrap_or(false);
        place.database.store(holds, Ordering::Relaxed);
        for index in if holds { 0..2 } else { 0..0 } {
            let looked = tokio::time::timeout(LOOK_LIMIT, place.look(&shared, index)).await;
            duties[index].report(looked.map_err(anyhow::Error::from).and_then(|looked| looked));
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

impl Place {
    /// A membership ends with its connection; a new one is taken. Whether there is one.
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

    /// One look at one stream: provision what is missing, reset what went back, record what is.
    async fn look(&mut self, shared: &Shared, index: usize) -> anyhow::Result<()> {
        let stream = STREAMS[index];
        // Everything here is on the membership's connection: a database that is replaced in between ends it,
        // and nothing is recorded.
        let connection = self.membership.as_mut().context("no connection")?.connection();
        // What is recorded is read first: the stream is then seen later than whoever recorded it saw it.
        let recorded = store::position(connection, stream).await.map_err(anyhow::Error::from)?;
        // And the consumer before the stream, which may grow in between.
        let (consumer, facts) = (shared.bus.consumer(stream).await?, shared.bus.stream(stream).await?);
        let last = self.last[index].take();
        let (Some(facts), Some(consumer)) = (facts, consumer) else {
            tracing::warn!(stream, "the stream or its consumer is missing: provisioning");
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
            store::record_position(connection, stream, seen).await.map_err(anyhow::Error::from)?;
        }
        shared.set_mark(stream, StreamMark { created: seen.created, floor: seen.floor });
        self.last[index] = Some((seen, consumer.created));
        Ok(())
    }
}

/// Why the consumer must be made anew, if it must.
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
    // Only what this process recorded itself, of the same consumer: another processor may have reset it
    // meanwhile.
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

/// Makes the consumer anew from the lower of what the stream has and what Postgres has. One processor does
/// it: `made` is when the consumer that was looked at was made. Waits until the ingest, which the caller
/// asked, has let go of the consumers.
async fn reset(shared: &Shared, stream: &str, made: i64, why: &'static str) -> anyhow::Result<()> {
    let _unbound = shared.bound.write().await;
    let mut transaction = shared.store.lock_consumers().await?;
    let (consumer, facts) = (shared.bus.consumer(stream).await?, shared.bus.stream(stream).await?);
    let Some(facts) = facts.filter(|_| consumer.is_some_and(|consumer| consumer.created == made)) else {
        return Ok(());
    };
    let recorded = store::position(&mut transaction, stream).await.map_err(anyhow::Error::from)?;
    let floor = recorded
        .filter(|position| position.created == facts.created)
        .map_or(0, |position| position.floor.min(facts.last_seq));
    tracing::warn!(stream, from = floor + 1, why, "making the consumer anew");
    metrics::counter!("cowriestream_processor_consumer_resets_total").increment(1);
    shared.bus.reset_consumer(stream, floor + 1, &shared.topology).await?;
    let position = Position { created: facts.created, last_seq: facts.last_seq, floor };
    store::record_position(&mut transaction, stream, position).await.map_err(anyhow::Error::from)?;
    transaction.commit().await?;
    Ok(())
}

async fn recorded(shared: &Shared, stream: &str) -> Result<Option<Position>, Failure> {
    let mut connection = shared.store.connection().await?;
    store::position(&mut connection, stream).await
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
    fn a_healthy_pair_is_left_alone() {
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
            "somebody reset the consumer already"
        );
        let another = StreamFacts { created: 2, ..short };
        assert_eq!(
            went_back(Some(SEEN), None, &another, &behind),
            None,
            "a new stream starts from its own beginning"
        );
    }
}
