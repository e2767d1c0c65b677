//! Understands Cowrie log lines: reading, repair, identity, normalisation.
//!
//! **Invariant**: everything here is a pure function of bytes. Nothing waits, reads a clock or a file, or
//! panics on any input. Every copy of a line gives the same result.

mod dead;
mod envelope;
pub mod features;
mod identity;
mod json;
mod known;
pub mod line;
mod name;
pub mod normal;
mod pane;
mod ranges;
mod record;
pub mod repair;
mod sensor;
mod session;
mod sketch;
mod source;
pub mod time;

pub use dead::{DeadLetter, Reason};
pub use envelope::{Envelope, Unusable};
pub use identity::{DeadId, EventId, FileId, Fingerprint};
pub use known::is_known;
pub use line::LineReader;
pub use name::EventName;
pub use pane::{Dimension, MINUTE, Pane, PaneKey, Panes, bounded};
pub use ranges::RangeSet;
pub use record::Record;
pub use sensor::SensorId;
pub use session::{Rank, Ranked, SensorDelta, SessionDelta};
pub use sketch::{SIZE as SKETCH_SIZE, Sketch, hash as sketch_hash};
pub use source::{Announcement, Source};

/// The longest line that is an event, in bytes without its newline. NATS carries 1 MiB by default, including
/// headers.
pub const MAX_LINE: usize = 1_048_576 - 16_384;

/// Number of bytes of an unusable line that a dead letter keeps.
pub const MAX_DEAD_BODY: usize = 256 * 1024;
