//! Tracks what was published and is not yet committed: a few numbers per 64 KiB of a file, never lines.

use std::collections::VecDeque;

use events::RangeSet;

use crate::checkpoint::LastLine;

/// Limits of one segment.
const FULL_BYTES: u64 = 64 * 1024;
const FULL_MESSAGES: u32 = 256;

/// Consecutive messages of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Segment {
    pub start: u64,
    pub end: u64,
    pub messages: u32,
    /// Messages published and not yet acknowledged by the broker.
    pub unacknowledged: u32,
    pub last_line: LastLine,
    /// The highest sequence that acknowledged a message of this segment, in EVENTS and in DEAD.
    pub seqs: [u64; 2],
}

/// The segments of a file in order, without gaps. The first one starts where the committed prefix ends.
#[derive(Debug, Default)]
pub(crate) struct Segments(VecDeque<Segment>);

impl Segments {
    /// Adds a line that covers `start..end` and is published as `pending` messages; 0 when its bytes were
    /// committed already.
    pub fn add(&mut self, start: u64, end: u64, last_line: LastLine, pending: u32) {
        match self.0.back_mut() {
            Some(open)
                if open.end == start
                    && open.end - open.start < FULL_BYTES
                    && open.messages < FULL_MESSAGES =>
            {
                open.end = end;
                open.messages += 1;
                open.unacknowledged += pending;
                open.last_line = last_line;
            }
            _ => self.0.push_back(Segment {
                start,
                end,
                messages: 1,
                unacknowledged: pending,
                last_line,
                seqs: [0; 2],
            }),
        }
    }

    /// The broker acknowledged the message at `start`.
    pub fn acknowledged(&mut self, start: u64, stream: usize, seq: u64) {
        if let Some(segment) = self.holding(start) {
            segment.unacknowledged = segment.unacknowledged.saturating_sub(1);
            segment.seqs[stream] = segment.seqs[stream].max(seq);
        }
    }

    /// Removes the committed segments from the front; returns the last one removed.
    pub fn commit(&mut self, done: &RangeSet) -> Option<Segment> {
        let mut last = None;
        while self.0.front().is_some_and(|segment| done.contains(segment.start, segment.end)) {
            last = self.0.pop_front();
        }
        last
    }

    /// Removes the segment that holds `offset` and all later ones; returns the offset from which to read
    /// again.
    pub fn cut(&mut self, offset: u64) -> Option<u64> {
        let at = self.0.partition_point(|segment| segment.end <= offset);
        let start = self.0.get(at)?.start;
        self.0.truncate(at);
        Some(start)
    }

    /// Whether the broker acknowledged all of a segment, and the processor's floors (EVENTS, DEAD) have
    /// passed its sequences, but it is not committed.
    pub fn passed(&self, marks: [u64; 2]) -> bool {
        self.0.iter().any(|segment| {
            segment.unacknowledged == 0 && segment.seqs[0] <= marks[0] && segment.seqs[1] <= marks[1]
        })
    }

    /// Adds bytes that an earlier process published and that can no longer be read. Their sequences are not
    /// known: `seqs` is an upper bound.
    pub fn add_lost(&mut self, start: u64, end: u64, last_line: LastLine, seqs: [u64; 2]) {
        self.0.push_back(Segment { start, end, messages: 1, unacknowledged: 0, last_line, seqs });
    }

    /// Merges all segments into one, marked as acknowledged by the broker; returns the bytes it spans.
    pub fn join(&mut self) -> Option<(u64, u64)> {
        let (start, end) = self.span()?;
        let mut joined = self.0.pop_back()?;
        for segment in self.0.drain(..) {
            joined.messages += segment.messages;
            joined.seqs = [0, 1].map(|stream| joined.seqs[stream].max(segment.seqs[stream]));
        }
        (joined.start, joined.unacknowledged) = (start, 0);
        self.0.push_back(joined);
        Some((start, end))
    }

    pub fn last_line(&self) -> Option<LastLine> {
        self.0.back().map(|segment| segment.last_line)
    }

    pub fn span(&self) -> Option<(u64, u64)> {
        Some((self.0.front()?.start, self.0.back()?.end))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn holding(&mut self, offset: u64) -> Option<&mut Segment> {
        let at = self.0.partition_point(|segment| segment.end <= offset);
        self.0.get_mut(at).filter(|segment| segment.start <= offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(start: u64, end: u64) -> LastLine {
        LastLine { start, end, hash: events::EventId([0; 16]) }
    }

    fn three() -> Segments {
        let mut segments = Segments::default();
        for at in (0..192).map(|n| n * 1024) {
            segments.add(at, at + 1024, line(at, at + 1024), 1);
        }
        segments
    }

    #[test]
    fn a_segment_leaves_when_all_of_it_is_committed() {
        let mut segments = three();
        let mut done: RangeSet = [(0, 65 * 1024)].into_iter().collect();
        assert_eq!(segments.commit(&done).unwrap().end, 64 * 1024);
        assert_eq!(segments.commit(&done), None);
        done.insert(65 * 1024, 192 * 1024);
        assert_eq!(segments.commit(&done).unwrap().last_line, line(191 * 1024, 192 * 1024));
        assert!(segments.is_empty());
    }

    #[test]
    fn reading_again_starts_where_a_segment_does() {
        let mut segments = three();
        assert_eq!(segments.cut(100 * 1024), Some(64 * 1024));
        assert_eq!(segments.span(), Some((0, 64 * 1024)));
        assert_eq!(segments.cut(100 * 1024), None);
    }

    #[test]
    fn only_a_wholly_acknowledged_segment_can_have_been_passed() {
        let mut segments = three();
        assert!(!segments.passed([1000, 1000]));
        for at in 0..64 {
            segments.acknowledged(at * 1024, 0, at + 1);
        }
        assert!(!segments.passed([63, 0]));
        assert!(segments.passed([64, 0]));
    }
}
