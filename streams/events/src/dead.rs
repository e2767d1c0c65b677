//! Dead letters: lines and bytes that could not be used.

use crate::{DeadId, MAX_DEAD_BODY, SensorId, Source, Unusable};

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal),* $(,)?) => {
        /// Why bytes became a dead letter. A closed set, used as a metric label.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum Reason { $($(#[$doc])* $name),* }

        impl Reason {
            /// The reason as stored and displayed.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }

            pub fn from_text(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$name),)* _ => None }
            }
        }
    };
}

reasons! {
    NotUtf8 = "not_utf8",
    NotJson = "not_json",
    NotAnObject = "not_an_object",
    NoEventId = "no_eventid",
    /// Longer than a message may be.
    TooLong = "too_long",
    /// The last line of a closed file, cut off.
    Truncated = "truncated",
    /// Text on a line beside whole events that is not an event itself.
    Glued = "glued",
    Rejected = "rejected",
    /// Bytes that were published, lost by the broker, and can no longer be read.
    Gap = "gap",
    /// The rest of an archive that is damaged or cut off.
    Damaged = "damaged",
}

/// An unusable line, with what a person needs to find out why it is unusable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeadLetter {
    /// The configured sensor, never taken from the log.
    pub sensor: SensorId,
    pub reason: Reason,
    /// A detailed reason for people; contains nothing of the line.
    pub detail: String,
    /// The first `MAX_DEAD_BODY` bytes of the line; empty for a gap.
    pub body: Vec<u8>,
    /// The length of the whole line in bytes.
    pub length: u64,
    /// BLAKE3 of the whole line.
    pub hash: [u8; 32],
    pub source: Source,
}

impl DeadLetter {
    /// The dead letter of a whole line (NUL bytes removed).
    pub fn of_line(sensor: SensorId, reason: Reason, detail: String, line: &[u8], source: Source) -> Self {
        Self {
            sensor,
            reason,
            detail,
            body: line[..line.len().min(MAX_DEAD_BODY)].to_vec(),
            length: line.len() as u64,
            hash: *blake3::hash(line).as_bytes(),
            source,
        }
    }

    /// The dead letter for bytes that no longer exist.
    pub fn gap(sensor: SensorId, detail: String, source: Source) -> Self {
        let length = source.files.iter().flat_map(|(_, ranges)| ranges).map(|(start, end)| end - start).sum();
        Self::of_place(sensor, Reason::Gap, detail, length, source)
    }

    /// The dead letter for the rest of an archive that cannot be decompressed. Its length is unknown.
    pub fn damaged(sensor: SensorId, detail: String, source: Source) -> Self {
        Self::of_place(sensor, Reason::Damaged, detail, 0, source)
    }

    /// A dead letter without bytes: its hash is made of its source.
    fn of_place(sensor: SensorId, reason: Reason, detail: String, length: u64, source: Source) -> Self {
        let hash = *blake3::hash(source.to_string().as_bytes()).as_bytes();
        Self { sensor, reason, detail, body: Vec::new(), length, hash, source }
    }

    pub fn id(&self) -> DeadId {
        DeadId::of(&self.sensor, &self.hash)
    }
}

impl Reason {
    /// Whether dead letters of this reason have a source but no bytes.
    pub fn is_without_bytes(self) -> bool {
        matches!(self, Self::Gap | Self::Damaged)
    }
}

impl From<&Unusable> for Reason {
    fn from(why: &Unusable) -> Self {
        match why {
            Unusable::NotUtf8(_) => Self::NotUtf8,
            Unusable::NotJson(_) => Self::NotJson,
            Unusable::NotAnObject => Self::NotAnObject,
            Unusable::NoEventId => Self::NoEventId,
        }
    }
}
