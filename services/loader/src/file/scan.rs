//! Applies the result of a directory scan to a followed file.

use std::time::Duration;

use super::LogFile;
use crate::{checkpoint::Stamp, logs::Found};

/// An archive may still be being written: it is read after it was seen unchanged for this long.
pub(crate) const ARCHIVE_AGE: Duration = Duration::from_secs(5);

/// What happened to a file since the last scan.
pub(crate) enum Change {
    /// Nothing, or it grew.
    None,
    /// An archive that changed counts as another archive.
    OtherArchive,
    Truncated,
}

impl LogFile {
    /// A scan begins. A file that the scan cannot see, because its directory cannot be read, counts as
    /// listed.
    pub fn begin_scan(&mut self, is_hidden: bool) {
        self.fate.set_listed(is_hidden);
    }

    /// The scan found the file.
    pub fn found_again(&mut self, found: &Found, once: bool) -> Change {
        if self.path() != found.path {
            tracing::info!(from = %self.path().display(), to = %found.path.display(), "the log was renamed");
            self.identity.rename(&found.path);
        }
        self.fate.list(found.live);
        if self.trouble.is_retried() {
            self.reading.set_ready(true);
        }
        if self.disk.update(Stamp::of(&found.meta)) {
            let is_archive = self.reading.is_archive();
            self.trouble.retry();
            self.reading.set_ready(!is_archive);
            self.disk.note_archive_change(is_archive);
        }
        if self.disk.archive_changed_for().is_some_and(|changed| once || changed >= ARCHIVE_AGE) {
            Change::OtherArchive
        } else if self.was_truncated() {
            Change::Truncated
        } else {
            Change::None
        }
    }

    /// The next generation of this file, read from its start.
    pub fn next_generation(&self, found: &Found) -> Self {
        let mut next = Self::new(found, self.identity.generation() + 1);
        if !self.fate.is_listed() {
            // It has no name that could be opened: use its descriptor.
            next.fate.continue_unlisted(&self.fate);
            next.identity.set_real_path(self.identity.real_path().to_owned());
            next.reading.open_from_start(self.reading.input().and_then(|input| input.again().ok()));
        }
        next
    }

    /// The bytes of this file can no longer be read. Returns whether its published part must be followed
    /// until it is committed, or lost bytes reported.
    pub fn lose(&mut self) -> bool {
        let read = self.reading.offset();
        let start = self.reading.unfinished().unwrap_or(read);
        let end = self.disk.largest_size().max(read);
        if !self.reading.is_archive() && end > start && !self.fate.is_gone() {
            self.fate.lose_bytes(end);
        }
        let is_followed = self.progress.is_outstanding() || self.fate.lost_for().is_some();
        if is_followed {
            self.become_gone();
        }
        is_followed
    }

    pub(super) fn become_gone(&mut self) {
        self.fate.become_gone();
        self.reading.become_gone();
    }

    /// Whether this file starts with the same line as the other one and is at least as long. `copytruncate`
    /// and compression make such copies.
    pub fn is_copy_of(&self, other: &Self) -> bool {
        let is_same = self.identity.fingerprint() == other.identity.fingerprint();
        let is_whole = self.reading.is_archive() || self.disk.largest_size() >= other.disk.largest_size();
        !self.fate.is_gone() && self.identity.id().is_some() && is_same && is_whole
    }
}
