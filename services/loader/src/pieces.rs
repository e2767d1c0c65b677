//! Turns a line into pieces to publish: one event, several, or a dead letter; and says which repair this
//! took.

use bytes::Bytes;
use events::{
    DeadLetter, Envelope, EventId, FileId, Reason, SensorId, Source, Unusable,
    line::Item,
    repair::{self, Part},
};

use crate::statistics::Tally;

/// A message to publish, made of a line or a part of it.
pub(crate) struct Piece {
    /// The bytes of the file that it covers.
    pub start: u64,
    pub end: u64,
    pub what: What,
}

pub(crate) enum What {
    Event(Event),
    Dead(Box<DeadLetter>),
}

pub(crate) struct Event {
    pub line: Bytes,
    pub envelope: Envelope,
    pub id: EventId,
    /// Bytes of a neighbouring file that are part of the event.
    pub also: Option<(FileId, u64, u64)>,
    /// Number of carriage returns that the repair removed from the end of the line.
    pub returns: usize,
}

impl Piece {
    /// Size of the message, in bytes.
    pub fn size(&self) -> u64 {
        match &self.what {
            What::Event(event) => event.line.len() as u64,
            What::Dead(dead) => dead.body.len() as u64,
        }
    }

    /// Whether it is a line that is not JSON.
    pub fn is_not_json(&self) -> bool {
        matches!(&self.what, What::Dead(dead) if dead.reason == Reason::NotJson)
    }
}

#[derive(Clone, Copy)]
pub(crate) enum Repair {
    Glued,
    Stitched,
    Array,
}

impl Repair {
    pub fn name(self) -> &'static str {
        match self {
            Self::Glued => "glued",
            Self::Stitched => "stitched",
            Self::Array => "array",
        }
    }
}

/// A line of a file with the bytes that its message covers.
pub(crate) struct Line<'a> {
    pub sensor: &'a SensorId,
    pub file: FileId,
    /// The end of the previous line's range: blank and NUL bytes before a line belong to it.
    pub start: u64,
    pub item: Item,
}

impl Line<'_> {
    /// The event, if the whole line is one; `hash` is the event id of its bytes.
    pub fn event(self, envelope: Envelope, hash: EventId) -> Vec<Piece> {
        let end = self.item.end();
        let Item::Line { bytes, .. } = self.item else { return Vec::new() };
        vec![Piece { start: self.start, end, what: whole(self.sensor, bytes, hash, envelope, None) }]
    }

    /// The event made of this line and the bytes of a neighbouring file.
    pub fn stitched(self, line: Vec<u8>, also: (FileId, u64, u64)) -> Vec<Piece> {
        let (end, hash) = (self.item.end(), EventId::of(self.sensor, &line));
        let Ok(envelope) = Envelope::read(&line) else { return Vec::new() };
        vec![Piece { start: self.start, end, what: whole(self.sensor, line, hash, envelope, Some(also)) }]
    }

    /// Repairs a line that is not an event, or makes it a dead letter. `cut` marks a last line without
    /// newline.
    pub fn unusable(
        self,
        why: Option<Unusable>,
        cut: bool,
        expand_arrays: bool,
    ) -> (Vec<Piece>, Option<Repair>) {
        let parts = match (&self.item, &why) {
            (Item::Line { bytes, .. }, Some(Unusable::NotJson(_) | Unusable::NotUtf8(_))) => {
                (repair::glued(bytes), Repair::Glued)
            }
            (Item::Line { bytes, .. }, Some(Unusable::NotAnObject)) if expand_arrays => {
                (repair::elements(bytes).unwrap_or_default(), Repair::Array)
            }
            _ => (Vec::new(), Repair::Glued),
        };
        match parts {
            (parts, _) if parts.is_empty() => (self.dead(why, cut), None),
            (parts, kind) => (self.split(&parts), Some(kind)),
        }
    }

    fn split(self, parts: &[Part]) -> Vec<Piece> {
        let Item::Line { bytes, start: first, end } = self.item else { return Vec::new() };
        let mut at = self.start;
        let last = parts.len() - 1;
        let piece = |(index, part): (usize, &Part)| {
            let start = at;
            // NUL bytes within a line were removed before it was split, so the boundaries between its pieces
            // may be off. Together the pieces cover exactly the line.
            at = if index == last { end } else { (first + part.end as u64).min(end) };
            let text = &bytes[part.text.clone()];
            let what = match Envelope::read(text) {
                Ok(envelope) => What::Event(Event {
                    line: Bytes::copy_from_slice(text),
                    envelope,
                    id: EventId::of(self.sensor, text),
                    also: None,
                    returns: 0,
                }),
                Err(_) => {
                    let detail =
                        format!("beside {} on one line", if parts.len() > 2 { "events" } else { "an event" });
                    What::Dead(Box::new(DeadLetter::of_line(
                        self.sensor.clone(),
                        Reason::Glued,
                        detail,
                        text,
                        Source::one(self.file, start, at),
                    )))
                }
            };
            Piece { start, end: at, what }
        };
        parts.iter().enumerate().map(piece).collect()
    }

    fn dead(self, why: Option<Unusable>, cut: bool) -> Vec<Piece> {
        let end = self.item.end();
        let source = Source::one(self.file, self.start, end);
        let sensor = self.sensor.clone();
        let dead = match self.item {
            Item::Line { bytes, .. } => {
                let (mut reason, detail) =
                    why.map_or((Reason::NotJson, String::new()), |why| (Reason::from(&why), why.to_string()));
                if cut && reason == Reason::NotJson {
                    reason = Reason::Truncated;
                }
                DeadLetter::of_line(sensor, reason, detail, &bytes, source)
            }
            Item::TooLong { body, length, hash, .. } => {
                let detail = format!("{length} bytes, at most {} are taken", events::MAX_LINE);
                DeadLetter { sensor, reason: Reason::TooLong, detail, body, length, hash, source }
            }
            Item::Skipped { .. } => return Vec::new(),
        };
        vec![Piece { start: self.start, end, what: What::Dead(Box::new(dead)) }]
    }
}

/// The event made of a whole line, without carriage returns at its end.
fn whole(
    sensor: &SensorId,
    mut line: Vec<u8>,
    hash: EventId,
    envelope: Envelope,
    also: Option<(FileId, u64, u64)>,
) -> What {
    let length = repair::without_returns(&line).len();
    let returns = line.len() - length;
    line.truncate(length);
    let id = if returns > 0 { EventId::of(sensor, &line) } else { hash };
    What::Event(Event { id, line: line.into(), envelope, also, returns })
}

/// Counts the pieces of a line that begins at `first`.
pub(crate) fn tally(pieces: &[Piece], counted: u64, first: u64) -> Tally {
    let mut tally = Tally { skipped_bytes: first.saturating_sub(counted), ..Tally::default() };
    for piece in pieces {
        let bytes = piece.end - piece.start.max(first).min(piece.end);
        match &piece.what {
            What::Event(event) => {
                tally.events += 1;
                tally.event_bytes += bytes;
                tally.last_event_at = tally.last_event_at.max(event.envelope.ts);
            }
            What::Dead(_) => {
                tally.dead_letters += 1;
                tally.dead_bytes += bytes;
            }
        }
    }
    tally
}
