//! The broker as the loader of one sensor uses it: publishes messages, keeps those in flight, and receives
//! receipts.

mod flight;
mod streams;

use std::time::{Duration, Instant};

use anyhow::Context as _;
use boot::Duty;
use bus::{Bus, EventMessage, Heartbeat, PublishError, Receipts, ReceiptsStream};
use events::{Announcement, DeadLetter, FileId, SensorId};
use futures::{FutureExt, StreamExt};

use crate::{checkpoint::StreamSeen, files::FileKey};

pub(crate) use flight::{Outcome, Room, Sent, Taken, Target};
pub(crate) use streams::{DEAD, EVENTS};

use flight::Flight;
use streams::Streams;

/// Pause after something could not be published.
const PAUSE: Duration = Duration::from_millis(250);

pub(crate) struct Broker {
    bus: Bus,
    sensor: SensorId,
    flight: Flight,
    /// Shared by all sensors of this loader.
    room: Room,
    receipts: ReceiptsStream,
    streams: Streams,
    paused_until: Instant,
    /// When a message failed the last time. Messages sent earlier say nothing about recovery.
    failed_at: Option<Instant>,
    publishing: Duty,
    looking: Duty,
    requesting: Duty,
    beating: Duty,
}

/// What arrived from the broker.
pub(crate) enum Incoming {
    Outcome(Sent, Outcome),
    Receipts(Receipts),
}

impl Broker {
    /// Subscribes to the receipts of the sensor. `seen` is what the checkpoint says of the streams.
    pub async fn new(
        bus: Bus,
        sensor: SensorId,
        room: Room,
        seen: [Option<StreamSeen>; 2],
    ) -> anyhow::Result<Self> {
        let receipts = bus.receipts(&sensor).await?;
        let (flight, streams) = (Flight::default(), Streams::new(seen));
        Ok(Self {
            bus,
            sensor,
            flight,
            room,
            receipts,
            streams,
            paused_until: Instant::now(),
            failed_at: None,
            publishing: Duty::new("publish lines"),
            looking: Duty::new("look at the streams"),
            requesting: Duty::new("request receipts"),
            beating: Duty::new("send the loader's heartbeat"),
        })
    }

    pub fn is_connected(&self) -> bool {
        self.bus.connected()
    }

    pub fn can_publish(&self) -> bool {
        self.is_connected() && !self.streams.is_missing() && Instant::now() >= self.paused_until
    }

    /// End of the pause after a failure, or `None` outside a pause.
    pub fn paused_until(&self) -> Option<Instant> {
        Some(self.paused_until).filter(|&until| Instant::now() < until)
    }

    pub fn streams(&self) -> &Streams {
        &self.streams
    }

    /// Whether the stream of the events exists.
    pub async fn has_streams(&mut self) -> bool {
        matches!(self.bus.events_stream().await, Ok(Some(_)))
    }

    /// Compares the streams with what was seen of them. Returns whether the broker answered, and why
    /// everything that is outstanding must be published again, if so.
    pub async fn look_at_streams(&mut self) -> (bool, Option<&'static str>) {
        let facts = async {
            Ok::<_, anyhow::Error>([self.bus.events_stream().await?, self.bus.dead_stream().await?])
        };
        let facts = facts.await;
        let why = facts.as_ref().ok().and_then(|facts| self.streams.compare(*facts));
        let answered = facts.is_ok();
        self.looking.report(facts.map(drop).with_context(|| format!("sensor {}", self.sensor)));
        (answered, why)
    }

    pub fn has_in_flight(&self) -> bool {
        !self.flight.is_empty()
    }

    /// Drops the messages of a file that will be published again.
    pub fn forget(&mut self, key: FileKey) {
        self.flight.forget(key);
    }

    /// Updates the number of reconnects, which shorten the deadline of the messages in flight.
    pub fn note_connections(&mut self) {
        self.flight.note_connections(self.bus.connections());
    }

    /// The outcome of the first message in flight, if it is known already.
    pub fn take_outcome(&mut self) -> Option<(Sent, Outcome)> {
        self.flight.take()
    }

    /// Waits for the outcome of the first message in flight. Cancel-safe.
    pub async fn next_outcome(&mut self) -> (Sent, Outcome) {
        self.flight.next().await
    }

    /// The next receipts, if they have arrived already.
    pub fn take_receipts(&mut self) -> anyhow::Result<Option<Receipts>> {
        self.receipts.next().now_or_never().map(|receipts| receipts.context(ENDED)).transpose()
    }

    /// Waits for an outcome or receipts. Cancel-safe.
    pub async fn next(&mut self) -> anyhow::Result<Incoming> {
        tokio::select! {
            (sent, outcome) = self.flight.next() => Ok(Incoming::Outcome(sent, outcome)),
            receipts = self.receipts.next() => Ok(Incoming::Receipts(receipts.context(ENDED)?)),
        }
    }

    /// Notes the floors that come with receipts.
    pub fn note_marks(&mut self, receipts: &Receipts) {
        self.streams.note_marks(receipts);
    }

    /// Requests the committed ranges of these files; `None` when no processor answers.
    pub async fn ask_receipts(&mut self, files: &[FileId]) -> Option<Receipts> {
        let answer = self.bus.ask_receipts(&self.sensor, files).await;
        let (answer, outcome) = match answer {
            Ok(answer) => (answer, Ok(())),
            Err(error) => (None, Err(error.context(format!("sensor {}", self.sensor)))),
        };
        self.requesting.report(outcome);
        answer
    }

    pub fn room(&self) -> &Room {
        &self.room
    }

    /// The broker acknowledged a message.
    pub fn acknowledge(&mut self, sent: &Sent, published: bus::Published) {
        self.streams.acknowledge(sent.stream, published);
        if self.failed_at.is_some_and(|failed| sent.at > failed) {
            self.failed_at = None;
            self.publishing.report(Ok::<_, PublishError>(()));
        }
    }

    /// A message was not acknowledged: publishing pauses.
    pub fn fail(&mut self, error: &PublishError) {
        if *error == PublishError::NoStream {
            self.streams.set_missing();
        }
        let now = Instant::now();
        (self.paused_until, self.failed_at) = (now + PAUSE, Some(now));
        let error = anyhow::Error::from(error.clone()).context(format!("sensor {}", self.sensor));
        self.publishing.report(Err(error));
    }

    pub async fn publish_event(&mut self, message: EventMessage<'_>) -> Result<bus::Ack, PublishError> {
        self.bus.publish_event(&self.sensor, message).await
    }

    /// Publishes a dead letter; without its body if it is too large.
    pub async fn publish_dead(
        &mut self,
        dead: &DeadLetter,
        announce: &Announcement,
        attempt: u32,
        target: Target,
    ) -> Result<bus::Ack, PublishError> {
        let ack = self.bus.publish_dead(dead, announce, attempt, target.replaces).await;
        if !matches!(ack, Err(PublishError::TooLarge)) {
            return ack;
        }
        let without_body = DeadLetter { body: Vec::new(), ..dead.clone() };
        self.bus.publish_dead(&without_body, announce, attempt, target.replaces).await
    }

    /// Adds a message to those in flight. If the publish call failed, the message fails when it becomes the
    /// first one.
    pub fn sent(&mut self, target: Target, room: Taken, stream: usize, ack: Result<bus::Ack, PublishError>) {
        let ack = ack.unwrap_or_else(|error| {
            self.paused_until = Instant::now() + PAUSE;
            Box::pin(std::future::ready(Err(error)))
        });
        self.flight.push(Sent { target, _room: room, stream, at: Instant::now(), ack });
    }

    pub async fn heartbeat(&mut self, heartbeat: &Heartbeat) {
        let outcome = self.bus.heartbeat(&self.sensor, heartbeat).await;
        self.beating.report(outcome.with_context(|| format!("sensor {}", self.sensor)));
    }
}

const ENDED: &str = "the subscription to receipts ended";
