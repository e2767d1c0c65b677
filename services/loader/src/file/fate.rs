//! Whether a file is listed, left its pattern, or is gone.

use std::time::{Duration, Instant};

pub(crate) struct Fate {
    /// Cowrie may be writing it under this name.
    is_live: bool,
    /// Whether the last scan found it by name.
    is_listed: bool,
    /// When a scan first missed it.
    unlisted_since: Option<Instant>,
    /// The patterns were changed and no longer match it: it is read to its end and then forgotten.
    is_unwanted: bool,
    /// Since when its bytes can no longer be read, because it was truncated or deleted.
    gone_since: Option<Instant>,
    /// End of the bytes that can no longer be read and were never published, and when this was noticed.
    lost: Option<(u64, Instant)>,
    /// The gap was already logged and counted.
    is_gap_logged: bool,
}

impl Fate {
    /// A file that a scan just found.
    pub(super) fn new(is_live: bool) -> Self {
        Self {
            is_live,
            is_listed: true,
            unlisted_since: None,
            is_unwanted: false,
            gone_since: None,
            lost: None,
            is_gap_logged: false,
        }
    }

    pub fn is_live(&self) -> bool {
        self.is_live
    }

    pub fn is_listed(&self) -> bool {
        self.is_listed
    }

    /// A scan begins. A file in a directory that cannot be read now counts as listed.
    pub(super) fn set_listed(&mut self, is_listed: bool) {
        self.is_listed = is_listed;
    }

    /// A scan found the file.
    pub(super) fn list(&mut self, is_live: bool) {
        (self.is_listed, self.is_live, self.unlisted_since) = (true, is_live, None);
    }

    /// A scan did not find the file. Returns for how long none did; `None` if this scan is the first one.
    pub(super) fn miss(&mut self) -> Option<Duration> {
        self.is_live = false;
        let missed = self.unlisted_since.map(|since| since.elapsed());
        self.unlisted_since.get_or_insert_with(Instant::now);
        missed
    }

    /// The fate of the next generation of a file that no pattern matches.
    pub(super) fn continue_unlisted(&mut self, earlier: &Self) {
        (self.is_listed, self.unlisted_since) = (false, earlier.unlisted_since);
    }

    pub fn is_unwanted(&self) -> bool {
        self.is_unwanted
    }

    pub(super) fn leave_patterns(&mut self, is_unwanted: bool) {
        (self.is_listed, self.is_unwanted) = (false, is_unwanted);
    }

    pub fn is_gone(&self) -> bool {
        self.gone_since.is_some()
    }

    /// For how long the bytes cannot be read; `None` if they can.
    pub fn gone_for(&self) -> Option<Duration> {
        self.gone_since.map(|since| since.elapsed())
    }

    /// The bytes can no longer be read.
    pub(super) fn become_gone(&mut self) {
        (self.gone_since, self.is_listed) = (Some(Instant::now()), false);
    }

    /// Bytes up to `end` were never published and can no longer be read.
    pub(super) fn lose_bytes(&mut self, end: u64) {
        self.lost = Some((end, Instant::now()));
    }

    /// The time since unpublished bytes were lost, or `None` if no bytes were lost.
    pub fn lost_for(&self) -> Option<Duration> {
        self.lost.map(|(_, since)| since.elapsed())
    }

    /// Takes the end of the lost bytes.
    pub(super) fn take_lost(&mut self) -> Option<u64> {
        self.lost.take().map(|(end, _)| end)
    }

    /// Returns true the first time: a gap is logged and counted once.
    pub(super) fn log_gap(&mut self) -> bool {
        !std::mem::replace(&mut self.is_gap_logged, true)
    }
}
