//! The events on a line.

use events::{DeadId, EventId, MAX_LINE, Record, SensorId, Unusable, repair};

use super::lines::Line;

/// A part of a line.
pub(super) enum Content {
    Event(Box<ParsedEvent>),
    /// Not an event: the hash of its bytes.
    Unusable([u8; 32]),
}

/// An event that was read from a line.
pub(super) struct ParsedEvent {
    pub record: Record,
    /// The same event under version 1 of the repair, if its id differs.
    pub earlier: Option<Record>,
    /// The id of the dead letter that it would be if the database had refused it.
    pub dead: DeadId,
}

impl ParsedEvent {
    /// Parses an event. `text` is the repaired line, `whole` has the carriage returns of a CRLF line end.
    pub fn read(sensor: &SensorId, text: &[u8], whole: &[u8]) -> Result<Self, Unusable> {
        let record = Record::read(sensor, text)?;
        let earlier = if text.len() == whole.len() { None } else { Record::read(sensor, whole).ok() };
        Ok(Self { record, earlier, dead: DeadId::of(sensor, blake3::hash(text).as_bytes()) })
    }

    /// The ids under which it may be stored.
    pub fn ids(&self) -> impl Iterator<Item = EventId> {
        std::iter::once(self.record.id).chain(self.earlier.as_ref().map(|record| record.id))
    }
}

/// The events on a line, and the text beside them, each with its number of bytes; `None` when the line
/// contains no event.
pub(super) fn contents(sensor: &SensorId, line: &Line, expand_arrays: bool) -> Option<Vec<(Content, u64)>> {
    if line.bytes.len() > MAX_LINE {
        return None;
    }
    let event = |text: &[u8], whole: &[u8]| {
        ParsedEvent::read(sensor, text, whole).map(|parsed| Content::Event(Box::new(parsed)))
    };
    let parts = match event(line.text(), &line.bytes) {
        Ok(event) => return Some(vec![(event, line.length)]),
        Err(Unusable::NotAnObject) if expand_arrays => repair::elements(&line.bytes)?,
        Err(Unusable::NotJson(_) | Unusable::NotUtf8(_)) => repair::glued(&line.bytes),
        Err(_) => return None,
    };
    let (mut at, count) = (0, parts.len());
    let one = |(n, part): (usize, repair::Part)| {
        let end = if n + 1 == count { line.length } else { part.end as u64 };
        let bytes = end - std::mem::replace(&mut at, end);
        let text = &line.bytes[part.text];
        (event(text, text).unwrap_or_else(|_| Content::Unusable(*blake3::hash(text).as_bytes())), bytes)
    };
    (count > 0).then(|| parts.into_iter().enumerate().map(one).collect())
}
