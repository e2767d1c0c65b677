//! Publishes the pieces of a line.

use bus::{EventMessage, PublishError};
use events::{DeadId, DeadLetter, EventName, FileId, Reason, Source};

use super::Tailer;
use crate::{
    broker::{DEAD, EVENTS, Taken, Target},
    files::FileKey,
    metrics::DEAD_LETTERS,
    pieces::{Event, Piece, What},
};

impl Tailer {
    /// Publishes the pieces of one line, each with the dead letter that it replaces.
    pub(super) async fn publish_pieces(
        &mut self,
        key: FileKey,
        file: FileId,
        epoch: u64,
        pieces: Vec<(Piece, Option<DeadId>)>,
    ) {
        for (piece, replaces) in pieces {
            let target = Target { key, epoch, file, start: piece.start, end: piece.end, replaces };
            // One line may become many messages.
            let Some(room) = self.reserve(key, epoch, piece.size()).await else { return };
            match piece.what {
                What::Event(event) => self.publish_event(target, room, event).await,
                What::Dead(dead) => self.publish_dead(target, room, &dead).await,
            }
        }
    }

    async fn publish_event(&mut self, target: Target, room: Taken, event: Event) {
        let Some(file) = self.files.get_mut(target.key) else { return };
        let announce = file.take_announcement();
        let msg_id = match file.progress().attempt(target.start) {
            0 => event.id.to_string(),
            // Unique among all copies of this line and all attempts, so that the duplicate window does not
            // drop it.
            attempt => format!("{}.{attempt}.{}.{}", event.id, target.file, target.start),
        };
        let mut source = Source::one(target.file, target.start, target.end);
        source.files.extend(event.also.map(|(file, start, end)| (file, vec![(start, end)])));
        let event_id = event.id.0;
        let span = boot::traces_event(event_id)
            .then(|| boot::span("publish", Some(&boot::trace_of_event(event_id))));
        let message = EventMessage {
            name: EventName::of(&event.envelope.eventid),
            line: event.line.clone(),
            msg_id,
            source: Some(source.clone()),
            announce,
            replay: target.replaces,
            returns: event.returns,
            trace: span.as_ref().and_then(boot::Span::traceparent),
        };
        let ack = self.broker.publish_event(message).await.map(|ack| until_acknowledged(ack, span));
        if matches!(ack, Err(PublishError::TooLarge)) {
            let (sensor, detail) = (&self.settings.sensor, "larger than the broker's max_payload".to_owned());
            let dead = DeadLetter::of_line(sensor.clone(), Reason::TooLong, detail, &event.line, source);
            return self.publish_dead(target, room, &dead).await;
        }
        self.sent(target, room, EVENTS, ack);
    }

    pub(super) async fn publish_dead(&mut self, target: Target, room: Taken, dead: &DeadLetter) {
        let Some(file) = self.files.get(target.key) else { return };
        let (Some(announce), attempt) = (file.announcement(), file.progress().attempt(target.start)) else {
            return;
        };
        let reason = dead.reason.as_str();
        metrics::counter!(DEAD_LETTERS, "reason" => reason).increment(1);
        tracing::debug!(
            path = %announce.path, offset = target.start, reason,
            "published a line as a dead letter"
        );
        let ack = self.broker.publish_dead(dead, &announce, attempt, target).await;
        self.sent(target, room, DEAD, ack);
    }

    fn sent(&mut self, target: Target, room: Taken, stream: usize, ack: Result<bus::Ack, PublishError>) {
        self.broker.sent(target, room, stream, ack);
        if self.files.get(target.key).is_some_and(|file| file.progress().attempt(target.start) > 0) {
            self.statistics.republished();
        }
    }
}

/// Ends a span when the broker has answered.
fn until_acknowledged(ack: bus::Ack, span: Option<boot::Span>) -> bus::Ack {
    match span {
        None => ack,
        Some(span) => Box::pin(async move {
            let _ends_with_the_answer = span;
            ack.await
        }),
    }
}
