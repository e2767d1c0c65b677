//! Publishes messages with acknowledgements.

use std::{future::Future, pin::Pin};

use async_nats::{HeaderMap, HeaderName, header::NATS_MESSAGE_ID, jetstream::context::PublishErrorKind};
use bytes::Bytes;
use events::{Announcement, EventName, SensorId, Source};

use crate::{Bus, Subject};

/// Header: the files and ranges that a message covers.
pub(crate) const SOURCE: HeaderName = HeaderName::from_static("Cowrie-Source");
/// Header: announces a file.
pub(crate) const FILE: HeaderName = HeaderName::from_static("Cowrie-File");
/// Header: the trace that a message belongs to (W3C).
pub(crate) const TRACE: HeaderName = HeaderName::from_static("traceparent");
/// Header: the dead letter that this message replays, or that was half of this line.
pub(crate) const REPLAY: HeaderName = HeaderName::from_static("Cowrie-Replay");
/// Header: number of carriage returns at the end of the line, which are not in the payload.
pub(crate) const RETURNS: HeaderName = HeaderName::from_static("Cowrie-Returns");

/// An event to be published to `EVENTS`.
#[derive(Clone, Debug)]
pub struct EventMessage<'a> {
    pub name: EventName<'a>,
    pub line: Bytes,
    /// `Nats-Msg-Id`.
    pub msg_id: String,
    /// `Cowrie-Source`; `None` for a replay.
    pub source: Option<Source>,
    /// `Cowrie-File`, on the first message after a file was opened.
    pub announce: Option<Announcement>,
    /// `Cowrie-Replay`: the dead letter that this message resolves.
    pub replay: Option<events::DeadId>,
    /// `Cowrie-Returns`: number of carriage returns that the repair removed from the end of the line.
    pub returns: usize,
    /// `traceparent`, if the event is traced.
    pub trace: Option<String>,
}

/// The broker has stored the message. (This does not mean that Postgres has it.)
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Published {
    pub seq: u64,
    /// The broker had a message with this id already.
    pub duplicate: bool,
}

/// Why a message could not be published.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PublishError {
    /// No stream has this subject: wait until one is provisioned.
    #[error("the stream does not exist")]
    NoStream,
    /// The message is larger than the server allows: it will never be accepted.
    #[error("larger than the server's max_payload")]
    TooLarge,
    /// Any other error: publish again.
    #[error("{0}")]
    Failed(String),
}

/// Resolves when the broker has acknowledged the message, or has not in time. Must be awaited: if it is
/// dropped, the error is lost.
pub type Ack = Pin<Box<dyn Future<Output = Result<Published, PublishError>> + Send>>;

impl Bus {
    /// Publishes an event. Returns when the message is in the connection's buffer; the acknowledgement
    /// arrives later. This never waits for acknowledgements, so the caller must limit how many it has
    /// outstanding.
    pub async fn publish_event(
        &self,
        sensor: &SensorId,
        message: EventMessage<'_>,
    ) -> Result<Ack, PublishError> {
        let mut headers = HeaderMap::new();
        headers.insert(NATS_MESSAGE_ID, message.msg_id.as_str());
        if let Some(source) = &message.source {
            headers.insert(SOURCE, source.to_string());
        }
        if let Some(announcement) = &message.announce {
            headers.insert(FILE, announcement_text(announcement));
        }
        if let Some(dead) = message.replay {
            headers.insert(REPLAY, dead.to_string());
        }
        if message.returns > 0 {
            headers.insert(RETURNS, message.returns.to_string());
        }
        if let Some(trace) = message.trace {
            headers.insert(TRACE, trace);
        }
        self.publish(Subject::event(sensor, message.name), headers, message.line).await
    }

    /// Publishes a message of the outbox.
    pub async fn publish_queued(
        &self,
        subject: Subject,
        msg_id: &str,
        payload: String,
    ) -> Result<Ack, PublishError> {
        let mut headers = HeaderMap::new();
        headers.insert(NATS_MESSAGE_ID, msg_id);
        self.publish(subject, headers, payload.into()).await
    }

    pub(crate) async fn publish(
        &self,
        subject: Subject,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<Ack, PublishError> {
        let sent = self.jetstream.publish_with_headers(String::from(subject), headers, payload).await;
        let ack = sent.map_err(why)?;
        Ok(Box::pin(async move {
            let ack = ack.await.map_err(why)?;
            Ok(Published { seq: ack.sequence, duplicate: ack.duplicate })
        }))
    }
}

/// JSON without line breaks, which a header must not contain.
fn announcement_text(announcement: &Announcement) -> String {
    serde_json::to_string(announcement).unwrap_or_default()
}

fn why(error: async_nats::jetstream::context::PublishError) -> PublishError {
    match error.kind() {
        PublishErrorKind::StreamNotFound => PublishError::NoStream,
        PublishErrorKind::MaxPayloadExceeded => PublishError::TooLarge,
        _ => PublishError::Failed(error.to_string()),
    }
}
