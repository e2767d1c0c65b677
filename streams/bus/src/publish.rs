//! Publishing with acknowledgements.

use std::{future::Future, pin::Pin};

use async_nats::{HeaderMap, HeaderName, header::NATS_MESSAGE_ID, jetstream::context::PublishErrorKind};
use bytes::Bytes;
use events::{Announcement, EventName, SensorId, Source};

use crate::{Bus, Subject};

/// The header that tells where a message was read.
pub(crate) const SOURCE: HeaderName = HeaderName::from_static("Cowrie-Source");
/// The header that announces a file.
pub(crate) const FILE: HeaderName = HeaderName::from_static("Cowrie-File");
/// The header that puts a message into a trace (W3C).
pub(crate) const TRACE: HeaderName = HeaderName::from_static("traceparent");
/// The header of a replay, or of the whole line of which half was a dead letter: that dead letter.
pub(crate) const REPLAY: HeaderName = HeaderName::from_static("Cowrie-Replay");
/// The header of a line that ended with carriage returns: how many. They are not in the payload.
pub(crate) const RETURNS: HeaderName = HeaderName::from_static("Cowrie-Returns");

/// An event on its way to `EVENTS`.
#[derive(Clone, Debug)]
pub struct EventMessage<'a> {
    /// The event part of the subject.
    pub name: EventName<'a>,
    /// The repaired line.
    pub line: Bytes,
    /// `Nats-Msg-Id`.
    pub msg_id: String,
    /// `Cowrie-Source`; `None` for a replay.
    pub source: Option<Source>,
    /// `Cowrie-File`, with the first message after a file was opened.
    pub announce: Option<Announcement>,
    /// `Cowrie-Replay`: the dead letter this resolves.
    pub replay: Option<events::DeadId>,
    /// `Cowrie-Returns`: how many carriage returns the repair took from the end of the line.
    pub returns: usize,
    /// `traceparent`, when its way is traced.
    pub trace: Option<String>,
}

/// The broker has it (which is not yet: Postgres has it).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Published {
    /// Its sequence in the stream.
    pub seq: u64,
    /// The broker knew its id already.
    pub duplicate: bool,
}

/// Why a publish did not succeed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PublishError {
    /// There is no stream for the subject: wait until it is provisioned.
    #[error("the stream does not exist")]
    NoStream,
    /// The message is larger than the server allows: it will never be accepted.
    #[error("larger than the server's max_payload")]
    TooLarge,
    /// Anything else: publish again.
    #[error("{0}")]
    Failed(String),
}

/// Resolves when the broker acknowledged, or did not. Must be awaited: a dropped one swallows the error.
pub type Ack = Pin<Box<dyn Future<Output = Result<Published, PublishError>> + Send>>;

impl Bus {
    /// Publishes an event. Returns when it is written to the connection's buffer; the acknowledgement comes
    /// later. The caller limits how many acknowledgements it has outstanding: this never waits for one.
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

    /// Publishes what the outbox holds.
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

/// JSON without a raw line break, which a header cannot carry.
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
