//! How far a file was published, counted and committed.

use bus::Repairs;
use events::{DeadId, EventId, RangeSet};

use super::{partial_line::PartialLine, segments::Segments};
use crate::{
    checkpoint::LastLine,
    pieces::{Piece, Repair},
    statistics::{Statistics, Tally},
};

/// After this many lines at its start that are not JSON, a file is taken for something other than Cowrie's
/// JSON log.
const STRANGE_LINES: u32 = 5;

pub(crate) struct Progress {
    /// Where the next message's range starts.
    next_start: u64,
    committed: RangeSet,
    segments: Segments,
    /// The end of the committed prefix, where a line starts.
    position: u64,
    /// The last line of the committed prefix.
    last_line: Option<LastLine>,
    /// The statistics have counted the file up to here.
    counted: u64,
    /// Incremented each time messages are published again.
    attempts: u32,
    /// Bytes below this offset were published before. They are published again under a suffixed message id,
    /// or JetStream's duplicate window would drop them.
    published_before: u64,
    /// Incremented whenever reading is reset to an earlier offset. Acknowledgements of earlier epochs are
    /// ignored.
    epoch: u64,
    repairs: Repairs,
    /// The last line that was taken without its newline.
    partial_line: Option<PartialLine>,
    /// Number of lines at its start that are not JSON; `None` after the first other line.
    strange_lines: Option<u32>,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self {
            next_start: 0,
            committed: RangeSet::default(),
            segments: Segments::default(),
            position: 0,
            last_line: None,
            counted: 0,
            attempts: 0,
            published_before: 0,
            epoch: 0,
            repairs: Repairs::default(),
            partial_line: None,
            strange_lines: Some(0),
        }
    }

    /// Everything before `position` is committed.
    pub(super) fn start_at(&mut self, position: u64, last_line: Option<LastLine>, repairs: Repairs) {
        self.position = position;
        self.strange_lines = self.strange_lines.filter(|_| position == 0);
        (self.last_line, self.repairs) = (last_line, repairs);
        (self.next_start, self.counted) = (position, position);
        self.committed.insert(0, position);
    }

    /// An earlier process published the bytes up to `published`, which can no longer be read. Their sequences
    /// are at most `highest`.
    pub(super) fn add_lost(&mut self, published: u64, highest: [u64; 2]) {
        if published > self.position {
            let line = no_line(self.position, published);
            self.segments.add_lost(self.position, published, line, highest);
        }
        self.next_start = published;
    }

    pub fn next_start(&self) -> u64 {
        self.next_start
    }

    /// The end of the committed prefix.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The end of what was published without a gap after the committed prefix.
    pub fn published(&self) -> u64 {
        self.segments.span().map_or(self.position, |(_, end)| end)
    }

    /// The last line of the committed prefix.
    pub fn last_committed_line(&self) -> Option<LastLine> {
        self.last_line
    }

    /// The last line that was published, if it is known.
    pub fn last_line(&self) -> Option<LastLine> {
        self.segments.last_line().or(self.last_line)
    }

    pub fn counted(&self) -> u64 {
        self.counted
    }

    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    pub fn repairs(&self) -> Repairs {
        self.repairs
    }

    /// Whether something was published and is not committed.
    pub fn is_outstanding(&self) -> bool {
        !self.segments.is_empty()
    }

    pub fn is_committed(&self, start: u64, end: u64) -> bool {
        self.committed.contains(start, end)
    }

    /// The parts of a range that are not committed.
    pub fn missing(&self, start: u64, end: u64) -> Vec<(u64, u64)> {
        self.committed.missing(start, end)
    }

    /// Whether more is committed here than `ranges` say.
    pub fn exceeds(&self, ranges: &[(u64, u64)]) -> bool {
        let reported: RangeSet = ranges.iter().copied().collect();
        self.committed.to_vec().iter().any(|&(start, end)| !reported.contains(start, end))
    }

    /// Whether the processor's floors passed something that is not committed.
    pub fn is_passed(&self, floors: [u64; 2]) -> bool {
        self.segments.passed(floors)
    }

    /// The attempt number of a message at this offset; 0 for the first.
    pub fn attempt(&self, start: u64) -> u32 {
        if start < self.published_before { self.attempts } else { 0 }
    }

    /// The broker acknowledged the message at `start`.
    pub(super) fn acknowledge(&mut self, start: u64, stream: usize, seq: u64) {
        self.segments.acknowledged(start, stream, seq);
    }

    /// Adds committed ranges and moves the committed prefix. Returns whether it moved.
    pub(super) fn commit(&mut self, ranges: &[(u64, u64)]) -> bool {
        ranges.iter().for_each(|&(start, end)| self.committed.insert(start, end));
        let Some(last) = self.segments.commit(&self.committed) else { return false };
        (self.position, self.last_line) = (last.end, Some(last.last_line));
        true
    }

    /// Begins a new epoch that reads from the start of the segment that holds `offset`. Returns that start.
    pub(super) fn rewind(&mut self, offset: u64) -> u64 {
        let from = self.segments.cut(offset).unwrap_or_else(|| offset.min(self.next_start));
        self.epoch += 1;
        self.next_start = from;
        from
    }

    /// The bytes so far are published again as new messages.
    pub(super) fn begin_attempt(&mut self) {
        self.attempts += 1;
        self.published_before = self.published_before.max(self.next_start);
    }

    /// The gap is published again as a new message.
    pub(super) fn begin_gap_attempt(&mut self) {
        self.attempts += 1;
        self.published_before = u64::MAX;
        self.epoch += 1;
    }

    /// Replaces what is committed by these ranges. Returns the offset of their first gap.
    pub(super) fn adopt(&mut self, ranges: &[(u64, u64)]) -> u64 {
        self.committed = ranges.iter().copied().collect();
        self.begin_attempt();
        self.position = self.committed.first_gap().min(self.position);
        (self.last_line, self.segments) = (None, Segments::default());
        self.next_start = self.position;
        self.position
    }

    /// The file got another id, of which nothing is published.
    pub(super) fn forget_id(&mut self) {
        (self.committed, self.next_start) = (RangeSet::default(), 0);
    }

    /// Adds what was read up to `end` to the statistics, unless it was counted before. Returns whether it was
    /// added.
    pub(super) fn count(&mut self, end: u64, tally: &Tally, statistics: &Statistics) -> bool {
        let is_new = end > self.counted;
        if is_new {
            statistics.count(tally);
            self.repairs.skipped_bytes += tally.skipped_bytes;
            self.counted = end;
        }
        is_new
    }

    pub(super) fn count_repair(&mut self, repair: Repair) {
        match repair {
            Repair::Glued => self.repairs.glued += 1,
            Repair::Stitched => self.repairs.stitched += 1,
            Repair::Array => self.repairs.arrays += 1,
        }
    }

    pub(super) fn count_unfinished(&mut self) {
        self.repairs.unfinished += 1;
    }

    /// Counts the lines at the start of the file that are not JSON. Returns true when they have become too
    /// many.
    pub(super) fn count_strange_line(&mut self, is_strange: bool) -> bool {
        self.strange_lines = self.strange_lines.filter(|_| is_strange).map(|lines| lines + 1);
        self.strange_lines == Some(STRANGE_LINES)
    }

    /// Adds a line that is published as these pieces. Returns those that are not committed yet, each with the
    /// dead letter of a partial line that it replaces. `partial` is what the statistics counted for a line
    /// without newline.
    pub(super) fn add_line(
        &mut self,
        line: LastLine,
        pieces: Vec<Piece>,
        partial: Option<Tally>,
    ) -> Vec<(Piece, Option<DeadId>)> {
        let before = self.partial_line.filter(|known| known.start <= line.start && line.start < known.end);
        if let Some(tally) = partial {
            self.partial_line = Some(PartialLine::of(line.start, line.end, &pieces, tally));
        }
        let wanted: Vec<_> = pieces
            .into_iter()
            .filter(|piece| !self.committed.contains(piece.start, piece.end))
            .map(|piece| {
                let replaces = before.and_then(|partial| partial.replaced_by(&piece));
                (piece, replaces)
            })
            .collect();
        self.segments.add(self.next_start, line.end, line, wanted.len() as u32);
        self.next_start = line.end;
        wanted
    }

    /// Adds bytes up to `end` that are not a line, and that a dead letter reports.
    pub(super) fn add_reported(&mut self, end: u64) {
        let start = self.next_start;
        self.segments.add(start, end, no_line(start, end), 1);
        self.next_start = end;
    }

    /// Merges everything outstanding into one segment; returns the bytes that it spans.
    pub(super) fn join_outstanding(&mut self) -> Option<(u64, u64)> {
        self.segments.join()
    }

    /// The partial line from `start` to `end` is read again from its start. `taken` returns what an earlier
    /// process made of it; it is called only if this process did not take the line. Returns what the
    /// statistics counted for it.
    pub(super) fn rejoin(
        &mut self,
        (start, end): (u64, u64),
        taken: impl FnOnce() -> PartialLine,
    ) -> Option<Tally> {
        let known = self.partial_line.take().filter(|known| known.end == end);
        self.partial_line = Some(known.unwrap_or_else(taken));
        (self.counted, self.next_start) = (start, start);
        known.map(|known| known.tally)
    }
}

/// The entry for bytes that are not a line.
fn no_line(start: u64, end: u64) -> LastLine {
    LastLine { start, end, hash: EventId([0; 16]) }
}
