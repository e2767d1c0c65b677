//! Messages on their way: published, and not yet acknowledged by the broker.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bus::{Ack, PublishError, Published};
use futures::FutureExt;

use crate::args::Tuning;

/// How long an acknowledgement may take before the message is published again.
const ACK_LIMIT: Duration = Duration::from_secs(10);
/// The same after the connection was made anew: what was in the old one's buffers has vanished.
const RECONNECTED_LIMIT: Duration = Duration::from_secs(2);

/// A message that the broker has not acknowledged yet.
pub(crate) struct Sent {
    pub file: u64,
    pub turn: u64,
    pub start: u64,
    pub bytes: u64,
    pub stream: usize,
    pub at: Instant,
    pub ack: Ack,
}

/// The messages in flight, in the order in which they were published.
#[derive(Default)]
pub(crate) struct Flight {
    queue: VecDeque<Sent>,
    bytes: u64,
    connections: u64,
    reconnected: Option<Instant>,
}

impl Flight {
    pub fn push(&mut self, sent: Sent) {
        self.bytes += sent.bytes;
        self.queue.push_back(sent);
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub fn is_full(&self, limits: &Tuning) -> bool {
        self.queue.len() >= limits.in_flight as usize || self.bytes >= limits.in_flight_bytes
    }

    /// Notes how many connections there have been.
    pub fn note_connections(&mut self, connections: u64) {
        if self.connections != connections {
            self.connections = connections;
            self.reconnected = Some(Instant::now());
        }
    }

    /// Forgets the messages of a file that are going to be published again.
    pub fn forget(&mut self, file: u64) {
        self.queue.retain(|sent| sent.file != file);
        self.bytes = self.queue.iter().map(|sent| sent.bytes).sum();
    }

    /// The first message and what became of it, when that is known; for ever pending when nothing is in flight. May be dropped while pending.
    pub async fn next(&mut self) -> (Sent, Result<Published, PublishError>) {
        let deadline = self.deadline();
        let outcome = match (self.queue.front_mut(), deadline) {
            (Some(first), Some(deadline)) => tokio::time::timeout_at(deadline.into(), &mut first.ack).await,
            _ => std::future::pending().await,
        };
        let outcome = outcome.unwrap_or_else(|_| Err(PublishError::Failed("no acknowledgement in time".to_owned())));
        match self.queue.pop_front() {
            Some(sent) => {
                self.bytes -= sent.bytes;
                (sent, outcome)
            }
            None => std::future::pending().await,
        }
    }

    /// The same, only when it is known already.
    pub fn take(&mut self) -> Option<(Sent, Result<Published, PublishError>)> {
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

    fn sent(file: u64, at: Instant, ack: impl Future<Output = Result<Published, PublishError>> + Send + 'static) -> Sent {
        Sent { file, turn: 0, start: 0, bytes: 100, stream: 0, at, ack: Box::pin(ack) }
    }

    #[tokio::test]
    async fn what_is_never_acknowledged_fails_once_for_all() {
        let mut flight = Flight::default();
        let long_ago = Instant::now().checked_sub(ACK_LIMIT).unwrap();
        for _ in 0..1000 {
            flight.push(sent(1, long_ago, std::future::pending()));
        }
        for _ in 0..1000 {
            assert!(flight.next().await.1.is_err());
        }
        assert!(flight.is_empty());
    }

    #[tokio::test]
    async fn outcomes_come_in_order_and_free_their_room() {
        let limits = Tuning { in_flight: 2, ..Tuning::default() };
        let mut flight = Flight::default();
        flight.push(sent(1, Instant::now(), std::future::pending()));
        flight.push(sent(2, Instant::now(), std::future::ready(Ok(Published { seq: 7, duplicate: false }))));
        assert!(flight.is_full(&limits));
        assert!(flight.take().is_none(), "the second waits for the first");
        flight.forget(1);
        assert_eq!(flight.take().unwrap().1, Ok(Published { seq: 7, duplicate: false }));
        assert!(flight.is_empty() && flight.bytes == 0);
    }
}
