//! Bytes that cannot be read, and that a dead letter reports.

use events::FileId;

use super::LogFile;

/// A range of a file that a dead letter covers.
pub(crate) struct Gap {
    pub file: FileId,
    pub start: u64,
    pub end: u64,
    /// The parts of the range that are not committed.
    pub missing: Vec<(u64, u64)>,
}

impl Gap {
    /// Number of bytes that are not committed.
    pub fn bytes(&self) -> u64 {
        self.missing.iter().map(|(start, end)| end - start).sum()
    }
}

impl LogFile {
    /// The bytes that were published, then lost, and can no longer be read.
    pub fn published_gap(&mut self) -> Option<Gap> {
        let file = self.identity.id()?;
        let (start, end) = self.progress.join_outstanding()?;
        let missing = self.progress.missing(start, end);
        (!missing.is_empty()).then_some(Gap { file, start, end, missing })
    }

    /// Returns true the first time: a gap is logged and counted once.
    pub fn log_gap(&mut self) -> bool {
        self.fate.log_gap()
    }

    /// Takes the bytes that were never published and can no longer be read.
    pub fn take_lost(&mut self) -> Option<Gap> {
        let file = self.identity.identify_unread();
        let (start, end) = (self.progress.next_start(), self.fate.take_lost()?);
        Some(Gap { file, start, end, missing: self.progress.missing(start, end) })
    }

    /// Adds lost bytes to those that are published.
    pub fn add_lost(&mut self, gap: &Gap) {
        self.progress.add_reported(gap.end);
    }

    /// Returns the range for the dead letter about the damaged rest of an archive, and a description. The
    /// range is the one byte after what was read, because a receipt needs a range.
    pub fn report_damage(&mut self) -> Option<(Gap, String)> {
        let (path, offset) = (self.path().display(), self.reading.offset());
        let detail = format!("{path} could be read only up to byte {offset}: {}", self.trouble.damage()?);
        let (start, end) = (self.progress.next_start(), self.progress.next_start() + 1);
        let file = self.identity.identify_unread();
        self.progress.add_reported(end);
        self.trouble.set_damage_reported(start);
        Some((Gap { file, start, end, missing: vec![(start, end)] }, detail))
    }
}
