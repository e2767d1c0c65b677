//! What a line says.

use events::{DeadId, EventId, MAX_LINE, Record, SensorId, Unusable, repair};

use super::lines::Line;

/// Something that a line says.
pub(super) enum Said {
    Event(Box<Spoken>),
    /// No event: the hash of its bytes.
    Nothing([u8; 32]),
}

/// An event as a line says it.
pub(super) struct Spoken {
    pub record: Record,
    /// The same under version 1 of the repair, when that has another identity.
    pub earlier: Option<Record>,
    /// The dead letter that it would be had the database refused it.
    pub dead: DeadId,
}

impl Spoken {
    /// An event by the text of a line; `whole`: with the carriage return of a CRLF line end.
    pub fn read(sensor: &SensorId, text: &[u8], whole: &[u8]) -> Result<Self, Unusable> {
        let record = Record::read(sensor, text)?;
        let earlier = if text.len() == whole.len() { None } else { Record::read(sensor, whole).ok() };
        Ok(Self { record, earlier, dead: DeadId::of(sensor, blake3::hash(text).as_bytes()) })
    }

    /// The identities under which it may be stored.
    pub fn ids(&self) -> impl Iterator<Item = EventId> {
        std::iter::once(self.record.id).chain(self.earlier.as_ref().map(|record| record.id))
    }
}

/// The events on a line, what stands beside them, and the bytes of each; `None` when there is no event on it.
pub(super) fn said(sensor: &SensorId, line: &Line, expand_arrays: bool) -> Option<Vec<(Said, u64)>> {
    if line.bytes.len() > MAX_LINE {
        return None;
    }
    let event = |text: &[u8], whole: &[u8]| {
        Spoken::read(sensor, text, whole).map(|spoken| Said::Event(Box::new(spoken)))
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
        (event(text, text).unwrap_or_else(|_| Said::Nothing(*blake3::hash(text).as_bytes())), bytes)
    };
    (count > 0).then(|| parts.into_iter().enumerate().map(one).collect())
}
