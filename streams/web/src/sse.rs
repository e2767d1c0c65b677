//! Server-sent events.

use std::{convert::Infallible, time::Duration};

use axum::{
    extract::FromRequestParts,
    http::request::Parts,
    response::sse::{Event, KeepAlive, Sse},
};
use boot::CancellationToken;
use futures::{Stream, StreamExt};

use crate::{Problem, RequestId};

/// A stream on which nothing happens sends a comment this often, so that proxies keep it open.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// One event of a stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// The name of the event.
    pub event: &'static str,
    /// What the client sends as Last-Event-ID when it reconnects.
    pub id: String,
    /// JSON on one line.
    pub data: String,
}

/// The id of the last event that a client saw before it reconnected.
pub struct LastEventId(pub Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for LastEventId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(id) = parts.headers.get("last-event-id") else { return Ok(Self(None)) };
        let id = id.to_str().map_err(|_| Problem::field("Last-Event-ID", "expected ASCII"))?;
        Ok(Self(Some(id.to_owned()).filter(|id| !id.is_empty())))
    }
}

/// Streams events until `stop`. A problem is an event named `problem` (`error` is what EventSource calls its own
/// errors) and ends the stream.
pub fn events(
    messages: impl Stream<Item = Result<Message, Problem>> + Send + 'static,
    stop: CancellationToken,
) -> Sse<impl Stream<Item = Result<Event, Infallible>> + Send> {
    // The events are made after the handler has returned.
    let request_id = RequestId::current();
    let events = messages.map(move |message| {
        Ok(match message {
            Ok(Message { event, id, data }) => Event::default().event(event).id(id).data(data),
            Err(problem) => {
                let mut body = problem.body();
                body.set_request_id(request_id.clone());
                Event::default().event("problem").data(serde_json::to_string(&body).unwrap_or_default())
            }
        })
    });
    Sse::new(events.take_until(stop.cancelled_owned())).keep_alive(KeepAlive::new().interval(HEARTBEAT))
}
