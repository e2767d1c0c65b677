//! Statuses as they are published.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::Stream;
use jobs::Status;
use redis::aio::PubSubStream;

use crate::keys;

/// The statuses to subscribe to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Changes {
    /// Every status of every job.
    All,
    /// Progress within a state only.
    Progress,
}

impl Changes {
    pub(crate) fn pattern(self) -> &'static str {
        match self {
            Self::All => keys::ALL_STATUSES,
            Self::Progress => keys::ALL_PROGRESS,
        }
    }
}

/// The statuses that Redis publishes. Read it without pause: what is not read is kept in memory.
pub struct Subscription(PubSubStream);

impl Subscription {
    pub(crate) fn new(messages: PubSubStream) -> Self {
        Self(messages)
    }
}

impl Stream for Subscription {
    type Item = Status;

    /// Skips messages that are no status.
    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Status>> {
        loop {
            let Some(message) = ready!(Pin::new(&mut self.0).poll_next(context)) else {
                return Poll::Ready(None);
            };
            if let Ok(status) = serde_json::from_slice(message.get_payload_bytes()) {
                return Poll::Ready(Some(status));
            }
        }
    }
}
