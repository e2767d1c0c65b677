//! The size and modification time of a file at the last scan, and whether everything up to there is committed.

use std::{
    fs::Metadata,
    time::{Duration, Instant},
};

use crate::checkpoint::Stamp;

pub(crate) struct DiskState {
    stamp: Stamp,
    largest_size: u64,
    /// Since when a followed archive has had another size or modification time.
    archive_changed: Option<Instant>,
    /// Size and modification time when the whole file had been committed.
    complete: Option<Stamp>,
}

impl DiskState {
    pub(super) fn new(meta: &Metadata) -> Self {
        Self { stamp: Stamp::of(meta), largest_size: meta.len(), archive_changed: None, complete: None }
    }

    pub fn stamp(&self) -> Stamp {
        self.stamp
    }

    pub fn size(&self) -> u64 {
        self.stamp.size
    }

    /// The largest size seen.
    pub fn largest_size(&self) -> u64 {
        self.largest_size
    }

    pub(super) fn set_largest_size(&mut self, size: u64) {
        self.largest_size = size;
    }

    /// Records the current size and modification time. Returns whether they differ from the last ones.
    pub(super) fn update(&mut self, stamp: Stamp) -> bool {
        let is_changed = stamp != self.stamp;
        if is_changed {
            self.stamp = stamp;
            self.largest_size = self.largest_size.max(stamp.size);
            self.complete = None;
        }
        is_changed
    }

    pub fn is_complete(&self) -> bool {
        self.complete.is_some()
    }

    pub fn complete(&self) -> Option<Stamp> {
        self.complete
    }

    /// The whole file is committed, in this state.
    pub(super) fn set_complete(&mut self, stamp: Stamp) {
        (self.complete, self.stamp) = (Some(stamp), stamp);
    }

    /// There is something to read or to commit again.
    pub(super) fn set_incomplete(&mut self) {
        self.complete = None;
    }

    pub(super) fn note_archive_change(&mut self, is_archive: bool) {
        self.archive_changed = is_archive.then(Instant::now);
    }

    /// For how long the archive has differed from the one that was read; `None` if it does not.
    pub fn archive_changed_for(&self) -> Option<Duration> {
        self.archive_changed.map(|since| since.elapsed())
    }
}
