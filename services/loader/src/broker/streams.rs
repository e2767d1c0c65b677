//! What is known of the streams EVENTS and DEAD, and whether they lost messages.

use bus::{Published, Receipts, StreamFacts, StreamMark};

use crate::checkpoint::StreamSeen;

/// Indices of the two streams in arrays.
pub(crate) const EVENTS: usize = 0;
pub(crate) const DEAD: usize = 1;

pub(crate) struct Streams {
    seen: [Option<StreamSeen>; 2],
    marks: [Option<StreamMark>; 2],
    /// A stream does not exist now.
    is_missing: bool,
    /// A sequence went back: the broker was restored from a backup.
    was_rolled_back: bool,
}

impl Streams {
    /// `seen` comes from the checkpoint.
    pub fn new(seen: [Option<StreamSeen>; 2]) -> Self {
        Self { seen, marks: [None; 2], is_missing: false, was_rolled_back: false }
    }

    pub fn seen(&self) -> [Option<StreamSeen>; 2] {
        self.seen
    }

    pub fn is_missing(&self) -> bool {
        self.is_missing
    }

    pub fn set_missing(&mut self) {
        self.is_missing = true;
    }

    /// The broker acknowledged a message.
    pub fn acknowledge(&mut self, stream: usize, published: Published) {
        if let Some(seen) = &mut self.seen[stream] {
            // Messages on one connection keep their order, so a later message has a higher sequence, unless
            // the stream was rolled back in between.
            self.was_rolled_back |= !published.duplicate && published.seq <= seen.high;
            seen.high = seen.high.max(published.seq);
        }
    }

    /// Notes the floors of the processor.
    pub fn note_marks(&mut self, receipts: &Receipts) {
        self.marks[EVENTS] = receipts.stream.or(self.marks[EVENTS]);
        self.marks[DEAD] = receipts.dead.or(self.marks[DEAD]);
    }

    /// The reported floors of EVENTS and DEAD; 0 if the floor belongs to an earlier stream of that name.
    pub fn floors(&self) -> [u64; 2] {
        [EVENTS, DEAD].map(|index| match (self.marks[index], self.seen[index]) {
            (Some(mark), Some(seen)) if mark.created == seen.created => mark.floor,
            _ => 0,
        })
    }

    /// Compares the streams with what was seen of them. Returns why everything that is outstanding must be
    /// published again, if so.
    pub fn compare(&mut self, facts: [Option<StreamFacts>; 2]) -> Option<&'static str> {
        let is_missing = facts.iter().any(Option::is_none);
        if is_missing && !self.is_missing {
            tracing::warn!("the streams do not exist; waiting until a processor provisions them");
        }
        self.is_missing = is_missing;
        let mut why = None;
        for (index, facts) in facts.into_iter().enumerate() {
            let Some(facts) = facts else { continue };
            why = self.compare_one(index, facts).or(why);
        }
        if std::mem::take(&mut self.was_rolled_back) {
            why = Some("a later message got a lower sequence: the broker was restored from a copy");
        }
        why
    }

    fn compare_one(&mut self, index: usize, facts: StreamFacts) -> Option<&'static str> {
        let fresh = StreamSeen { created: facts.created, high: 0 };
        let Some(seen) = self.seen[index] else {
            self.seen[index] = Some(fresh);
            return None;
        };
        if seen.created != facts.created {
            self.seen[index] = Some(fresh);
            return Some("the stream was deleted and created again");
        }
        if facts.last_seq < seen.high {
            self.seen[index] = Some(StreamSeen { high: facts.last_seq, ..seen });
            return Some("the stream's last sequence went back: the broker was restored from a copy");
        }
        None
    }
}
