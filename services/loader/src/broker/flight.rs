//! Messages in flight: published, and not yet acknowledged by the broker.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use bus::{Ack, PublishError, Published};
use events::{DeadId, FileId};
use futures::FutureExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{args::Tuning, files::FileKey};

/// How long an acknowledgement may take before the message is published again.
const ACK_LIMIT: Duration = Duration::from_secs(10);
/// The same after a reconnect: messages in the buffers of the old connection are lost.
const RECONNECTED_LIMIT: Duration = Duration::from_secs(2);

/// The file and the bytes that a message covers.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    pub key: FileKey,
    /// The epoch of the file in which the message is published.
    pub epoch: u64,
    pub file: FileId,
    pub start: u64,
    pub end: u64,
    /// The dead letter of a partial line that this message replaces.
    pub replaces: Option<DeadId>,
}

pub(crate) struct Sent {
    pub target: Target,
    /// Released when the outcome is known.
    pub _room: Taken,
    pub stream: usize,
    pub at: Instant,
    pub ack: Ack,
}

/// What the broker said about a message.
pub(crate) type Outcome = Result<Published, PublishError>;

/// Bytes that all sensors of a loader may have in flight together. Each message counts as at least the limit
/// in bytes divided by the limit in messages, so that both limits hold.
///
/// A sensor that waits for room must keep polling its own acknowledgements (see `Tailer::reserve`): they
/// hold the room that another sensor waits for.
#[derive(Clone)]
pub(crate) struct Room {
    free: Arc<Semaphore>,
    all: u32,
    share: u32,
}

/// The room that one message takes.
pub(crate) type Taken = OwnedSemaphorePermit;

impl Room {
    pub fn new(limits: &Tuning) -> Self {
        let all = u32::try_from(limits.in_flight_bytes).unwrap_or(u32::MAX);
        Self { free: Arc::new(Semaphore::new(all as usize)), all, share: (all / limits.in_flight).max(1) }
    }

    /// Takes room if it is free and no other sensor waits.
    pub fn try_take(&self, bytes: u64) -> Option<Taken> {
        self.free.clone().try_acquire_many_owned(self.of(bytes)).ok()
    }

    /// Waits for room, first come, first served.
    pub async fn take(self, bytes: u64) -> Option<Taken> {
        let bytes = self.of(bytes);
        self.free.acquire_many_owned(bytes).await.ok()
    }

    fn of(&self, bytes: u64) -> u32 {
        u32::try_from(bytes).unwrap_or(u32::MAX).clamp(self.share, self.all)
    }
}

/// The messages in flight, in order of publication.
#[derive(Default)]
pub(crate) struct Flight {
    queue: VecDeque<Sent>,
    connections: u64,
    reconnected: Option<Instant>,
}

impl Flight {
    pub fn push(&mut self, sent: Sent) {
        self.queue.push_back(sent);
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Updates the number of connections so far.
    pub fn note_connections(&mut self, connections: u64) {
        if self.connections != connections {
            self.connections = connections;
            self.reconnected = Some(Instant::now());
        }
    }

    /// Drops the messages of a file that will be published again.
    pub fn forget(&mut self, file: FileKey) {
        self.queue.retain(|sent| sent.target.key != file);
    }

    /// Returns the first message and its outcome once that is known. Pending for ever while nothing is in
    /// flight. Cancel-safe.
    pub async fn next(&mut self) -> (Sent, Outcome) {
        let deadline = self.deadline();
        let outcome = match (self.queue.front_mut(), deadline) {
            (Some(first), Some(deadline)) => tokio::time::timeout_at(deadline.into(), &mut first.ack).await,
            _ => std::future::pending().await,
        };
        let outcome =
            outcome.unwrap_or_else(|_| Err(PublishError::Failed("no acknowledgement in time".to_owned())));
        match self.queue.pop_front() {
            Some(sent) => (sent, outcome),
            None => std::future::pending().await,
        }
    }

    /// The same, but only if the outcome is known already.
    pub fn take(&mut self) -> Option<(Sent, Outcome)> {
        self.next().now_or_never()
    }

    fn deadline(&self) -> Option<Instant> {
        let sent = self.queue.front()?.at;
        let reconnected = self.reconnected.filter(|&at| sent < at).map(|at| at + RECONNECTED_LIMIT);
        Some(reconnected.map_or(sent + ACK_LIMIT, |limit| limit.min(sent + ACK_LIMIT)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(
        room: &Room,
        file: u64,
        at: Instant,
        ack: impl Future<Output = Outcome> + Send + 'static,
    ) -> Sent {
        let id = FileId::of(0, 0, 0, &events::Fingerprint::of(b""));
        let target = Target { key: FileKey(file), epoch: 0, file: id, start: 0, end: 1, replaces: None };
        Sent { target, _room: room.try_take(100).unwrap(), stream: 0, at, ack: Box::pin(ack) }
    }

    #[tokio::test]
    async fn what_is_never_acknowledged_fails_once_for_all() {
        let (mut flight, room) = (Flight::default(), Room::new(&Tuning::default()));
        let long_ago = Instant::now().checked_sub(ACK_LIMIT).unwrap();
        for _ in 0..1000 {
            flight.push(sent(&room, 1, long_ago, std::future::pending()));
        }
        for _ in 0..1000 {
            assert!(flight.next().await.1.is_err());
        }
        assert!(flight.is_empty());
    }

    #[tokio::test]
    async fn outcomes_come_in_order_and_free_their_room() {
        let room = Room::new(&Tuning { in_flight: 2, ..Tuning::default() });
        let mut flight = Flight::default();
        flight.push(sent(&room, 1, Instant::now(), std::future::pending()));
        flight.push(sent(
            &room,
            2,
            Instant::now(),
            std::future::ready(Ok(Published { seq: 7, duplicate: false })),
        ));
        assert!(room.try_take(1).is_none(), "two are in flight");
        assert!(flight.take().is_none(), "the second waits for the first");
        flight.forget(FileKey(1));
        assert_eq!(flight.take().unwrap().1, Ok(Published { seq: 7, duplicate: false }));
        assert!(flight.is_empty());
        assert!(room.try_take(u64::MAX).is_some(), "all of the room is free again");
    }

    #[test]
    fn room_is_limited_by_messages_and_by_bytes() {
        let room = Room::new(&Tuning { in_flight: 4, in_flight_bytes: 1 << 20, ..Tuning::default() });
        let small: Vec<_> = std::iter::from_fn(|| room.try_take(1)).collect();
        assert_eq!(small.len(), 4);
        drop(small);
        let large: Vec<_> = std::iter::from_fn(|| room.try_take(1 << 19)).collect();
        assert_eq!(large.len(), 2);
    }
}
