//! Follows EVENTS without acknowledging anything, for `tail`.
//!
//! The consumer is ephemeral: the server deletes it when it is idle. If it is gone, or a message may have
//! been missed (reconnect, gap in the numbering, new stream), a new consumer starts after the last sequence
//! seen.

use std::time::Duration;

use anyhow::Context as _;
use async_nats::jetstream::{
    consumer::{AckPolicy, DeliverPolicy, pull},
    message::Message,
};
use boot::Duty;
use bytes::Bytes;
use events::SensorId;
use futures::{FutureExt, StreamExt};

use crate::{Bus, subjects, topology::EVENTS};

/// Pause before a new attempt.
const PAUSE: Duration = Duration::from_millis(500);
/// Messages returned at once, at most.
const MOST: usize = 1000;
/// The server deletes a consumer that was not used for this long.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Beginning {
    /// With events that arrive from now on.
    Now,
    /// With the oldest event in the stream.
    Oldest,
    /// With events that arrived at the broker at this time or later, in microseconds since 1970.
    Arrived(i64),
}

/// The subjects that may hold the wanted events; a coarse filter.
#[derive(Clone, Debug, Default)]
pub struct Subjects {
    /// These sensors; all when empty.
    pub sensors: Vec<SensorId>,
    /// Event names (`login.failed`) or families (`login`: all names that start so); all when empty.
    pub events: Vec<Events>,
}

/// An event name or a family of names. Valid as part of a subject.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Events {
    /// Exactly `cowrie.<name>`.
    Named(String),
    /// Everything that starts with `cowrie.<name>.`.
    Family(String),
}

/// An event as it arrived.
#[derive(Clone, Debug)]
pub struct Followed {
    pub sensor: SensorId,
    /// The repaired line.
    pub line: Bytes,
}

/// The events from one beginning on.
pub struct Following {
    bus: Bus,
    filters: Vec<String>,
    next: Next,
    /// Creation time of the stream that is followed.
    created: i64,
    /// The last sequence of the stream when following began.
    end: u64,
    open: Option<Open>,
    duty: Duty,
}

enum Next {
    Beginning(Beginning),
    Sequence(u64),
}

struct Open {
    messages: pull::Stream,
    connections: u64,
    delivered: u64,
    pending: u64,
}

impl Following {
    /// Starts to follow. Fails when there is no stream yet.
    pub async fn begin(bus: &Bus, subjects: &Subjects, beginning: Beginning) -> anyhow::Result<Self> {
        let facts =
            bus.stream(EVENTS).await?.context("there is no stream EVENTS: is a processor or `cowriestream up` running? `cowriestream provision` creates it")?;
        let mut this = Self {
            bus: bus.clone(),
            filters: filters(subjects),
            next: Next::Beginning(beginning),
            created: facts.created,
            end: facts.last_seq,
            open: None,
            duty: Duty::new("follow EVENTS"),
        };
        this.open = Some(this.open().await?);
        Ok(this)
    }

    /// Returns 1 to 1 000 events in order; waits for the first one, and retries after every error of the
    /// broker. Cancel-safe: events that were not returned are returned by the next call.
    pub async fn next(&mut self) -> Vec<Followed> {
        loop {
            match self.some().await {
                Ok(some) if some.is_empty() => (),
                Ok(some) => {
                    self.duty.report(Ok::<_, anyhow::Error>(()));
                    return some;
                }
                Err(error) => {
                    self.duty.report(Err(error));
                    self.open = None;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Whether everything that existed when following began was returned.
    pub fn at_end(&self) -> bool {
        let seen = match self.next {
            Next::Sequence(next) => next > self.end,
            Next::Beginning(_) => self.end == 0,
        };
        seen || self.open.as_ref().is_some_and(|open| open.pending == 0)
    }

    async fn some(&mut self) -> anyhow::Result<Vec<Followed>> {
        if self.open.is_none() {
            self.open = Some(self.open().await?);
        }
        let Some(open) = &mut self.open else { return Ok(Vec::new()) };
        let first = open.messages.next().await;
        let mut given = Vec::new();
        let mut came = Some(first);
        while let Some(message) = came {
            let taken = take(open, self.bus.connections(), message).map(|(sequence, followed)| {
                self.next = Next::Sequence(sequence + 1);
                given.extend(followed);
            });
            match taken {
                Ok(()) => (),
                // The error occurs again after the messages taken so far were returned.
                Err(_) if !given.is_empty() => {
                    self.open = None;
                    break;
                }
                Err(error) => return Err(error),
            }
            came = if given.len() < MOST { open.messages.next().now_or_never() } else { None };
        }
        Ok(given)
    }

    /// Creates a consumer that starts at the current position.
    async fn open(&mut self) -> anyhow::Result<Open> {
        let connections = self.bus.connections();
        let facts = self.bus.stream(EVENTS).await?.context("there is no stream EVENTS")?;
        if facts.created != self.created {
            (self.created, self.next) = (facts.created, Next::Beginning(Beginning::Oldest));
        } else if let Next::Sequence(next) = self.next
            && next > facts.last_seq + 1
        {
            // The broker was restored from a backup.
            self.next = Next::Sequence(facts.last_seq + 1);
        }
        self.end = self.end.min(facts.last_seq);
        let deliver_policy = match self.next {
            Next::Beginning(Beginning::Now) => {
                DeliverPolicy::ByStartSequence { start_sequence: self.end + 1 }
            }
            Next::Beginning(Beginning::Oldest) => DeliverPolicy::All,
            Next::Beginning(Beginning::Arrived(micros)) => {
                let start_time = async_nats::datetime::from_nanos(i128::from(micros) * 1000);
                DeliverPolicy::ByStartTime {
                    start_time: start_time.map_err(|error| anyhow::anyhow!("begin at a time: {error}"))?,
                }
            }
            Next::Sequence(start_sequence) => DeliverPolicy::ByStartSequence { start_sequence },
        };
        let config = pull::Config {
            description: Some("cowriestream tail".into()),
            deliver_policy,
            ack_policy: AckPolicy::None,
            filter_subjects: self.filters.clone(),
            inactive_threshold: FORGOTTEN_AFTER,
            num_replicas: 1,
            memory_storage: true,
            ..Default::default()
        };
        let consumer = self
            .bus
            .jetstream
            .create_consumer_on_stream(config, EVENTS)
            .await
            .context("make a consumer of EVENTS")?;
        let pending = consumer.cached_info().num_pending;
        let messages = consumer
            .stream()
            .max_messages_per_batch(MOST)
            .expires(Duration::from_secs(30))
            .heartbeat(Duration::from_secs(2))
            .messages();
        Ok(Open { messages: messages.await.context("pull from EVENTS")?, connections, delivered: 0, pending })
    }
}

/// Reads a message: its sequence in the stream, and the event if it is one. Fails when messages before it may
/// have been missed.
fn take(
    open: &mut Open,
    connections: u64,
    message: Option<Result<Message, pull::MessagesError>>,
) -> anyhow::Result<(u64, Option<Followed>)> {
    let message = message.context("the consumer ended")?.context("receive from EVENTS")?;
    let info = message.info().map_err(|error| anyhow::anyhow!("read the position of a message: {error}"))?;
    let (stream, consumer, pending) = (info.stream_sequence, info.consumer_sequence, info.pending);
    anyhow::ensure!(connections == open.connections, "the client has reconnected");
    anyhow::ensure!(consumer == open.delivered + 1, "a message is missing");
    (open.delivered, open.pending) = (consumer, pending);
    let sensor = subjects::sensor_of(&message.subject);
    Ok((stream, sensor.map(|sensor| Followed { sensor, line: message.payload.clone() })))
}

/// Subjects that do not overlap, because the server requires that. Event ids that are not valid subject
/// tokens are published under `other`.
fn filters(subjects: &Subjects) -> Vec<String> {
    let mut sensors: Vec<_> = subjects.sensors.iter().map(SensorId::as_str).collect();
    sensors.sort_unstable();
    sensors.dedup();
    if sensors.is_empty() {
        sensors.push("*");
    }
    let mut events: Vec<String> =
        subjects.events.iter().filter(|one| !is_covered(one, &subjects.events)).map(subject).collect();
    if events.is_empty() {
        events.push(">".into());
    } else {
        events.push("other".into());
    }
    events.sort_unstable();
    events.dedup();
    sensors
        .iter()
        .flat_map(|sensor| events.iter().map(move |event| format!("cowrie.events.{sensor}.{event}")))
        .collect()
}

fn subject(events: &Events) -> String {
    match events {
        Events::Named(name) => name.clone(),
        Events::Family(name) => format!("{name}.>"),
    }
}

/// Whether one of the families includes this one.
fn is_covered(one: &Events, all: &[Events]) -> bool {
    let (Events::Named(name) | Events::Family(name)) = one;
    all.iter().any(|other| match other {
        Events::Family(family) => {
            name.strip_prefix(family.as_str()).is_some_and(|rest| rest.starts_with('.'))
        }
        Events::Named(_) => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_to_follow_never_overlap() {
        let named = |name: &str| Events::Named(name.into());
        let family = |name: &str| Events::Family(name.into());
        let joined = |sensors: &[&str], events: &[Events]| {
            filters(&Subjects {
                sensors: sensors.iter().map(|s| s.parse().unwrap()).collect(),
                events: events.to_vec(),
            })
            .join(" ")
        };
        assert_eq!(joined(&[], &[]), "cowrie.events.*.>");
        assert_eq!(joined(&["b", "a", "b"], &[]), "cowrie.events.a.> cowrie.events.b.>");
        assert_eq!(
            joined(
                &["a"],
                &[
                    named("login.failed"),
                    family("login"),
                    named("login"),
                    family("session.file_download"),
                    family("session")
                ]
            ),
            "cowrie.events.a.login cowrie.events.a.login.> cowrie.events.a.other cowrie.events.a.session.>"
        );
    }
}
