//! A delivered message, read: what is to be stored of it, and which bytes it stands for.

use bus::{Delivered, Item};
use events::{Announcement, DeadId, DeadLetter, Reason, Record, Source};
use store::StoredEvent;

/// What is to be stored of a message.
#[derive(Clone, Debug)]
pub(crate) enum What {
    /// An event, and the dead letter it replays.
    Event(Box<StoredEvent>, Option<DeadId>),
    /// A dead letter, and the path of its file.
    Dead(Box<DeadLetter>, Option<String>),
    /// Nothing: a message that none of ours would send.
    Nothing,
}

/// A message, read.
#[derive(Clone, Debug)]
pub(crate) struct Prepared<'a> {
    pub what: What,
    pub source: &'a Source,
    pub announce: Option<&'a Announcement>,
}

impl<'a> Prepared<'a> {
    /// Reads a message. A line that is no event (a foreign publisher's) becomes a dead letter.
    pub fn of(item: &'a Item) -> Self {
        let path = item.announce.as_ref().map(|announce| announce.path.clone());
        let what = match &item.what {
            Delivered::Event { sensor, line, replay } => match Record::read(sensor, line) {
                Ok(record) => What::Event(Box::new(stored(record, line, &item.source)), *replay),
                Err(why) => {
                    let dead = DeadLetter::of_line(sensor.clone(), Reason::from(&why), why.to_string(), line, item.source.clone());
                    What::Dead(Box::new(dead), path)
                }
            },
            Delivered::Dead(dead) => What::Dead(Box::new(dead.clone()), path),
            Delivered::Foreign(why) => {
                tracing::warn!(why, "dropped a message that none of ours would send");
                metrics::counter!("cowriestream_processor_foreign_messages_total").increment(1);
                What::Nothing
            }
        };
        Self { what, source: &item.source, announce: item.announce.as_ref() }
    }

    /// The same message with its event refused by the database.
    pub fn rejected(&self, why: String) -> Self {
        let what = match &self.what {
            What::Event(event, _) => {
                let line = event.line.as_deref().unwrap_or(event.record.payload.as_bytes());
                let dead = DeadLetter::of_line(event.record.sensor.clone(), Reason::Rejected, why, line, self.source.clone());
                What::Dead(Box::new(dead), self.announce.map(|announce| announce.path.clone()))
            }
            What::Dead(..) | What::Nothing => What::Nothing,
        };
        Self { what, ..self.clone() }
    }
}

fn stored(record: Record, line: &[u8], source: &Source) -> StoredEvent {
    let place = source.files.first().and_then(|(file, ranges)| Some((*file, ranges.first()?.0)));
    StoredEvent { line: (!record.exact).then(|| line.to_vec()), record, source: place }
}
