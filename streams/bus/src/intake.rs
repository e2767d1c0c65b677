//! Consumes EVENTS and DEAD in batches that grow with the backlog.

use std::{pin::pin, time::Duration};

use anyhow::Context as _;
use async_nats::{
    HeaderName,
    jetstream::{
        AckKind, Message,
        consumer::{Consumer, pull},
    },
};
use bytes::Bytes;
use events::{Announcement, DeadId, DeadLetter, SensorId, Source};
use futures::{FutureExt, StreamExt};

use crate::{
    Bus, dead,
    publish::{FILE, REPLAY, RETURNS, SOURCE, TRACE},
    subjects,
    topology::{self, DEAD, EVENTS, PROCESSOR},
};

/// Messages requested at once, at least. The client miscounts messages that arrive before it has recorded its
/// own request, and requests more only when half of them are left. With few messages it may stop requesting
/// until it misses the heartbeats.
const LEAST_PULL: usize = 1_000;

/// Limits of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Number of messages.
    pub messages: usize,
    /// Bytes of payload.
    pub bytes: usize,
    /// How long to wait for more messages while the server reports pending ones.
    pub patience: Duration,
}

/// The content of a message.
#[derive(Debug)]
pub enum Delivered {
    Event {
        /// The sensor, taken from the subject.
        sensor: SensorId,
        line: Bytes,
        /// The dead letter that this event replays.
        replay: Option<DeadId>,
        /// Number of carriage returns that the repair removed from the end of the line.
        returns: usize,
    },
    /// Bytes that the loader could not use.
    Dead(DeadLetter),
    /// A message that no part of cowriestream would send.
    Foreign(&'static str),
}

/// A message, and what is needed to answer it.
#[derive(Debug)]
pub struct Item {
    pub what: Delivered,
    /// The bytes it covers; empty when it names none (a replay, a foreign program).
    pub source: Source,
    /// A dead letter that this one replaces: the one of the first half of its bytes.
    pub replaces: Option<DeadId>,
    pub announce: Option<Announcement>,
    /// The W3C traceparent in its headers.
    pub trace: Option<String>,
    message: Message,
}

/// Messages that are committed together.
#[derive(Debug, Default)]
pub struct Batch {
    pub items: Vec<Item>,
}

impl Batch {
    /// Acknowledges all messages and flushes the connection: acknowledgements that are only buffered are lost
    /// if the process ends. Call only after the commit.
    pub async fn acknowledge(self, bus: &Bus) -> anyhow::Result<()> {
        for item in self.items {
            if let Err(error) = item.message.ack().await {
                anyhow::bail!("acknowledge a message: {error}");
            }
        }
        bus.flush().await
    }
}

/// The state of the processor's consumer of a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConsumerFacts {
    /// Creation time, nanoseconds since 1970.
    pub created: i64,
    /// Everything up to this stream sequence is acknowledged.
    pub floor: u64,
    /// The last stream sequence delivered.
    pub delivered: u64,
    /// Messages not yet delivered.
    pub pending: u64,
    /// Messages delivered but not acknowledged.
    pub unacknowledged: u64,
}

/// The processor's consumers of EVENTS and DEAD.
pub struct Intake {
    events: pull::Stream,
    dead: pull::Stream,
    limits: Limits,
    /// Messages that were received but not yet returned to the caller.
    taken: Batch,
    /// Whether `next` was ever called.
    asked: bool,
}

impl Intake {
    /// Binds the consumers. Fails when a stream or consumer does not exist.
    pub async fn open(bus: &Bus, limits: Limits) -> anyhow::Result<Self> {
        Ok(Self {
            events: bind(bus, EVENTS, limits).await?,
            dead: bind(bus, DEAD, limits).await?,
            limits,
            taken: Batch::default(),
            asked: false,
        })
    }

    /// Waits for the first message, then takes what is available up to the limits. After an error, open a new
    /// intake. Cancel-safe: messages that were taken are in the next batch, or are handed back.
    pub async fn next(&mut self) -> anyhow::Result<Batch> {
        self.asked = true;
        let mut bytes = 0;
        let mut more = !self.taken.items.is_empty() || self.take(&mut bytes).await?;
        let mut patience = pin!(tokio::time::sleep(self.limits.patience));
        while self.taken.items.len() < self.limits.messages && bytes < self.limits.bytes {
            if let Some(taken) = self.take(&mut bytes).now_or_never() {
                more = taken?;
                continue;
            }
            if !more {
                break;
            }
            tokio::select! {
                biased;
                taken = self.take(&mut bytes) => more = taken?,
                () = &mut patience => break,
            }
        }
        Ok(std::mem::take(&mut self.taken))
    }

    /// Hands back messages that were pulled but not taken, so that they are delivered again at once.
    pub async fn hand_back(mut self, bus: &Bus) {
        for item in self.taken.items {
            item.message.ack_with(AckKind::Nak(None)).await.ok();
        }
        // A stream that was never polled holds nothing, and polling it would request messages.
        for pulled in [&mut self.events, &mut self.dead].into_iter().filter(|_| self.asked) {
            while let Some(Some(Ok(message))) = pulled.next().now_or_never() {
                message.ack_with(AckKind::Nak(None)).await.ok();
            }
        }
        bus.flush().await.ok();
    }

    /// Takes one message; returns whether the server has more pending ones. Cancel-safe: nothing is lost when
    /// it is dropped while pending.
    async fn take(&mut self, bytes: &mut usize) -> anyhow::Result<bool> {
        let message = tokio::select! {
            biased;
            message = self.dead.next() => message,
            message = self.events.next() => message,
        };
        let message = message.context("the consumer's stream ended")?.context("receive from the consumer")?;
        let pending = message.info().map_or(0, |info| info.pending);
        *bytes += message.payload.len();
        self.taken.items.push(read(message));
        Ok(pending > 0)
    }
}

async fn bind(bus: &Bus, stream: &str, limits: Limits) -> anyhow::Result<pull::Stream> {
    let consumer: Consumer<pull::Config> = bus
        .jetstream
        .get_consumer_from_stream(PROCESSOR, stream)
        .await
        .with_context(|| format!("bind consumer {PROCESSOR} of {stream}"))?;
    consumer
        .stream()
        .max_messages_per_batch(limits.messages.max(LEAST_PULL))
        .max_bytes_per_batch(2 * limits.bytes)
        .expires(Duration::from_secs(30))
        .heartbeat(Duration::from_secs(5))
        .messages()
        .await
        .with_context(|| format!("pull from {stream}"))
}

fn read(message: Message) -> Item {
    let headers = message.headers.as_ref();
    let text = |name: HeaderName| headers.and_then(|h| h.get(name)).map(async_nats::HeaderValue::as_str);
    let source = text(SOURCE).and_then(|s| s.parse().ok()).unwrap_or_default();
    let announce = text(FILE).and_then(|json| serde_json::from_str(json).ok());
    let what = match subjects::sensor_of(&message.subject) {
        None => Delivered::Foreign("no sensor in the subject"),
        Some(sensor) if message.subject.starts_with("cowrie.dead.") => {
            match headers.map(|headers| dead::read(&sensor, headers, &message.payload)) {
                Some(Ok(dead)) => Delivered::Dead(dead),
                Some(Err(why)) => Delivered::Foreign(why),
                None => Delivered::Foreign("a dead letter without headers"),
            }
        }
        Some(sensor) => Delivered::Event {
            sensor,
            line: message.payload.clone(),
            replay: text(REPLAY).and_then(|id| id.parse().ok()),
            returns: text(RETURNS).and_then(|count| count.parse().ok()).unwrap_or_default(),
        },
    };
    let trace = text(TRACE).map(str::to_owned);
    let replaces =
        if matches!(what, Delivered::Dead(_)) { text(REPLAY).and_then(|id| id.parse().ok()) } else { None };
    Item { what, source, replaces, announce, trace, message }
}

impl Bus {
    /// The state of the processor's consumer of a stream; `None` when it does not exist.
    pub async fn consumer(&self, stream: &str) -> anyhow::Result<Option<ConsumerFacts>> {
        let found: Result<Consumer<pull::Config>, _> =
            self.jetstream.get_consumer_from_stream(PROCESSOR, stream).await;
        let consumer = match found {
            Ok(consumer) => consumer,
            Err(error) if missing(&error) => return Ok(None),
            Err(error) => {
                return Err(error).with_context(|| format!("look up consumer {PROCESSOR} of {stream}"));
            }
        };
        let info = consumer.cached_info();
        Ok(Some(ConsumerFacts {
            created: crate::connect::nanos(info.created),
            floor: info.ack_floor.stream_sequence,
            delivered: info.delivered.stream_sequence,
            pending: info.num_pending,
            unacknowledged: info.num_ack_pending as u64,
        }))
    }
}

fn missing(error: &async_nats::jetstream::stream::ConsumerError) -> bool {
    use async_nats::jetstream::stream::ConsumerErrorKind as Kind;
    matches!(error.kind(), Kind::JetStream(why) if topology::is_missing(why.error_code()))
}
