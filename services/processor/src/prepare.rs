//! Reads a delivered message: what to store, and which bytes it covers.

use bus::{Delivered, Item};
use events::{Announcement, DeadId, DeadLetter, EventId, MAX_LINE, Reason, Record, SensorId, Source, repair};
use store::ingest::events::StoredEvent;

use crate::metrics::FOREIGN_MESSAGES;

#[derive(Clone, Debug)]
pub enum Content {
    /// An event, and the dead letter that it replays.
    Event(Box<StoredEvent>, Option<DeadId>),
    /// A dead letter, and the path of its file.
    Dead(Box<DeadLetter>, Option<String>),
    /// Nothing: a message that no loader sends.
    Nothing,
}

#[derive(Clone, Debug)]
pub struct Prepared<'a> {
    pub content: Content,
    /// The bytes of files that the message covers.
    pub source: &'a Source,
    /// For a dead letter: the dead letter that it replaces.
    pub replaces: Option<DeadId>,
    /// The file that the message announces.
    pub announce: Option<&'a Announcement>,
}

impl<'a> Prepared<'a> {
    /// Reads a message. A line from a foreign publisher that is not an event becomes a dead letter.
    pub fn of(item: &'a Item) -> Self {
        let content = match &item.what {
            Delivered::Event { sensor, line, replay, returns } => {
                return Self::repaired(sensor, line, *returns, *replay, &item.source, item.announce.as_ref());
            }
            Delivered::Dead(dead) => Content::Dead(
                Box::new(dead.clone()),
                item.announce.as_ref().map(|announce| announce.path.clone()),
            ),
            Delivered::Foreign(why) => {
                tracing::warn!(why, "dropped a message that no loader sends");
                metrics::counter!(FOREIGN_MESSAGES).increment(1);
                Content::Nothing
            }
        };
        Self { content, source: &item.source, replaces: item.replaces, announce: item.announce.as_ref() }
    }

    /// Reads a line of a sensor; `source` names the bytes of the files that hold it.
    pub fn of_line(
        sensor: &SensorId,
        line: &[u8],
        replay: Option<DeadId>,
        source: &'a Source,
        announce: Option<&'a Announcement>,
    ) -> Self {
        Self::repaired(sensor, line, 0, replay, source, announce)
    }

    /// Like [`Self::of_line`]. `returns` is the number of carriage returns that were cut from the end of the
    /// line.
    fn repaired(
        sensor: &SensorId,
        line: &[u8],
        returns: usize,
        replay: Option<DeadId>,
        source: &'a Source,
        announce: Option<&'a Announcement>,
    ) -> Self {
        let text = repair::without_returns(line);
        let content = match Record::read(sensor, text) {
            Ok(record) => {
                let earlier = earlier_id(sensor, text, line.len() - text.len() + returns);
                Content::Event(Box::new(stored(record, text, earlier, source)), replay)
            }
            Err(why) => {
                let dead = DeadLetter::of_line(
                    sensor.clone(),
                    Reason::from(&why),
                    why.to_string(),
                    line,
                    source.clone(),
                );
                Content::Dead(Box::new(dead), announce.map(|announce| announce.path.clone()))
            }
        };
        Self { content, source, replaces: None, announce }
    }

    /// Returns the same message as a dead letter, for an event that the database refused.
    pub fn rejected(&self, why: String) -> Self {
        let content = match &self.content {
            Content::Event(event, _) => {
                let line = event.line.as_deref().unwrap_or(event.record.payload.as_bytes());
                let dead = DeadLetter::of_line(
                    event.record.sensor.clone(),
                    Reason::Rejected,
                    why,
                    line,
                    self.source.clone(),
                );
                Content::Dead(Box::new(dead), self.announce.map(|announce| announce.path.clone()))
            }
            Content::Dead(..) | Content::Nothing => Content::Nothing,
        };
        Self { content, ..self.clone() }
    }
}

/// Returns the id that version 1 of the repair gave a line which ended with `returns` carriage returns.
/// Loaders of that version still send such lines.
fn earlier_id(sensor: &SensorId, text: &[u8], returns: usize) -> Option<EventId> {
    let possible = returns > 0 && text.len() + returns <= MAX_LINE;
    possible.then(|| EventId::of(sensor, &[text, &vec![b'\r'; returns][..]].concat()))
}

fn stored(record: Record, line: &[u8], earlier: Option<EventId>, source: &Source) -> StoredEvent {
    let place = source.files.first().and_then(|(file, ranges)| Some((*file, ranges.first()?.0)));
    StoredEvent { line: (!record.exact).then(|| line.to_vec()), record, source: place, earlier }
}
