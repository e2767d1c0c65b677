//! Acknowledgements, commits, and reading again what was lost.

use super::LogFile;

impl LogFile {
    /// The broker acknowledged the message at `start`.
    pub fn acknowledge(&mut self, start: u64, stream: usize, seq: u64) {
        self.progress.acknowledge(start, stream, seq);
    }

    /// Adds committed ranges and moves the committed prefix. Returns whether it moved.
    pub fn commit(&mut self, ranges: &[(u64, u64)]) -> bool {
        let moved = self.progress.commit(ranges);
        if moved {
            self.reading.committed();
        }
        moved
    }

    /// Resets reading to the start of the segment that holds `offset`.
    pub fn read_again(&mut self, offset: u64) {
        if self.fate.is_gone() {
            return;
        }
        let from = self.progress.rewind(offset);
        self.disk.set_incomplete();
        self.identity.announce_again();
        let progress = &self.progress;
        self.trouble.keep_report_if(|at| progress.is_committed(at, at + 1));
        if let Err(error) = self.reading.rewind(from) {
            tracing::warn!(path = %self.path().display(), %error, "could not go back in the file");
        }
    }

    /// Publishes everything again that is not committed.
    pub fn republish(&mut self) {
        self.republish_from(self.progress.position());
    }

    /// Publishes everything again from the segment that holds `offset`.
    pub fn republish_from(&mut self, offset: u64) {
        self.progress.begin_attempt();
        self.read_again(offset);
    }

    /// Publishes the dead letter about a gap again.
    pub fn republish_gap(&mut self) {
        self.progress.begin_gap_attempt();
    }

    /// Postgres has less than was known here: adopts its ranges, and reads again from the first gap.
    pub fn adopt(&mut self, ranges: &[(u64, u64)]) {
        let first_gap = self.progress.adopt(ranges);
        self.read_again(first_gap);
    }
}
