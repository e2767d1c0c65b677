//! A delivered message, read: what is to be stored of it, and which bytes it stands for.

use bus::{Delivered, Item};
use events::{Announcement, DeadId, DeadLetter, EventId, MAX_LINE, Reason, Record, SensorId, Source, repair};
use store::StoredEvent;

/// What is to be stored of a message.
#[derive(Clone, Debug)]
pub enum What {
    /// An event, and the dead letter it replays.
    Event(Box<StoredEvent>, Option<DeadId>),
    /// A dead letter, and the path of its file.
    Dead(Box<DeadLetter>, Option<String>),
    /// Nothing: a message that none of ours would send.
    Nothing,
}

/// A message, read.
#[derive(Clone, Debug)]
pub struct Prepared<'a> {
    /// What is to be stored.
    pub what: What,
    /// The bytes it covers.
    pub source: &'a Source,
    /// For a dead letter: the one that it replaces.
    pub replaces: Option<DeadId>,
    /// The file it announces.
    pub announce: Option<&'a Announcement>,
}

impl<'a> Prepared<'a> {
    /// Reads a message. A line that is no event (a foreign publisher's) becomes a dead letter.
    pub fn of(item: &'a Item) -> Self {
        let what = match &item.what {
            Delivered::Event { sensor, line, replay, returns } => {
                return Self::repaired(sensor, line, *returns, *replay, &item.source, item.announce.as_ref());
            }
            Delivered::Dead(dead) => What::Dead(
                Box::new(dead.clone()),
                item.announce.as_ref().map(|announce| announce.path.clone()),
            ),
            Delivered::Foreign(why) => {
                tracing::warn!(why, "dropped a message that none of ours would send");
                metrics::counter!("cowriestream_processor_foreign_messages_total").increment(1);
                What::Nothing
            }
        };
        Self { what, source: &item.source, replaces: item.replaces, announce: item.announce.as_ref() }
    }

    /// Reads a line of a sensor, of these bytes of its files.
    pub fn of_line(
        sensor: &SensorId,
        line: &[u8],
        replay: Option<DeadId>,
        source: &'a Source,
        announce: Option<&'a Announcement>,
    ) -> Self {
        Self::repaired(sensor, line, 0, replay, source, announce)
    }

    /// As [`Self::of_line`]; `returns`: carriage returns that were taken from the end of the line.
    fn repaired(
        sensor: &SensorId,
        line: &[u8],
        returns: usize,
        replay: Option<DeadId>,
        source: &'a Source,
        announce: Option<&'a Announcement>,
    ) -> Self {
        let text = repair::without_returns(line);
        let what = match Record::read(sensor, text) {
            Ok(record) => {
                let earlier = earlier_id(sensor, text, line.len() - text.len() + returns);
                What::Event(Box::new(stored(record, text, earlier, source)), replay)
            }
            Err(why) => {
                let dead = DeadLetter::of_line(
                    sensor.clone(),
                    Reason::from(&why),
                    why.to_string(),
                    line,
                    source.clone(),
                );
                What::Dead(Box::new(dead), announce.map(|announce| announce.path.clone()))
            }
        };
        Self { what, source, replaces: None, announce }
    }

    /// The same message with its event refused by the database.
    pub fn rejected(&self, why: String) -> Self {
        let what = match &self.what {
            What::Event(event, _) => {
                let line = event.line.as_deref().unwrap_or(event.record.payload.as_bytes());
                let dead = DeadLetter::of_line(
                    event.record.sensor.clone(),
                    Reason::Rejected,
                    why,
                    line,
                    self.source.clone(),
                );
                What::Dead(Box::new(dead), self.announce.map(|announce| announce.path.clone()))
            }
            What::Dead(..) | What::Nothing => What::Nothing,
        };
        Self { what, ..self.clone() }
    }
}

/// The identity that version 1 of the repair gave a line that ended with that many carriage returns. A loader
/// of that version still sends them.
fn earlier_id(sensor: &SensorId, text: &[u8], returns: usize) -> Option<EventId> {
    let possible = returns > 0 && text.len() + returns <= MAX_LINE;
    possible.then(|| EventId::of(sensor, &[text, &vec![b'\r'; returns][..]].concat()))
}

fn stored(record: Record, line: &[u8], earlier: Option<EventId>, source: &Source) -> StoredEvent {
    let place = source.files.first().and_then(|(file, ranges)| Some((*file, ranges.first()?.0)));
    StoredEvent { line: (!record.exact).then(|| line.to_vec()), record, source: place, earlier }
}
