//! A file that no pattern matches any more. The writer may still have it open and append to it.

use std::{fs::Metadata, io, os::unix::fs::MetadataExt, path::Path, time::Duration};

use events::SensorId;

use super::LogFile;
use crate::checkpoint::Stamp;

/// A file that no scan found for this long was not just being renamed during a scan.
const RENAME_TIME: Duration = Duration::from_secs(3);
/// A file stays open until it was idle for this long.
pub(crate) const FORGET_AFTER: Duration = Duration::from_secs(60);
/// A deleted file without a copy can never be opened again: it stays open until it was idle for this long.
const DELETED_QUIET: Duration = Duration::from_secs(600);

/// What to do with an unlisted file.
pub(crate) enum Unlisted {
    Follow,
    /// Its bytes can no longer be read, or nothing will be appended.
    Lose,
    /// It was deleted: lose it if there is a copy.
    LoseIfCopied,
    /// It cannot be opened: search for it.
    Search,
}

impl LogFile {
    /// Handles a file that the last scan did not find by name. Also returns whether the file was moved.
    pub fn follow_unlisted(&mut self) -> (Unlisted, bool) {
        let unlisted = self.leave_pattern();
        let is_archive = self.reading.is_archive();
        let Some(meta) = self.metadata() else {
            let next = match unlisted >= RENAME_TIME {
                // Nothing is appended to an archive.
                true if is_archive || self.identity.id().is_none() => Unlisted::Lose,
                true => Unlisted::Search,
                false => Unlisted::Follow,
            };
            return (next, false);
        };
        let is_moved = self.note_move(&meta);
        let quiet = self.reading.quiet_for().unwrap_or_default();
        let next = match () {
            () if !self.disk.is_complete() => Unlisted::Follow,
            () if self.fate.is_unwanted() || is_archive => Unlisted::Lose,
            () if meta.nlink() > 0 || quiet < FORGET_AFTER => Unlisted::Follow,
            () if quiet >= DELETED_QUIET => Unlisted::Lose,
            () => Unlisted::LoseIfCopied,
        };
        (next, is_moved)
    }

    /// Marks the file as unlisted; returns since how long it is.
    fn leave_pattern(&mut self) -> Duration {
        if let Some(unlisted) = self.fate.miss() {
            return unlisted;
        }
        // While it is open it can be followed, wherever it is moved. A file that cannot be opened was renamed
        // or deleted.
        if !self.reading.is_open() && !self.reading.is_archive() && self.open().is_ok() {
            self.reading.quiet();
        }
        Duration::ZERO
    }

    /// Updates its size and path. Returns whether its path changed.
    fn note_move(&mut self, meta: &Metadata) -> bool {
        if self.disk.update(Stamp::of(meta)) {
            self.reading.set_ready(true);
        }
        let path = self.reading.input().filter(|_| meta.nlink() > 0).and_then(|input| input.path());
        let Some(path) = path.filter(|path| path != self.identity.real_path()) else { return false };
        tracing::info!(
            from = %self.identity.real_path().display(), to = %path.display(),
            "the log was moved and no pattern matches it any more; following it"
        );
        self.identity.move_to(path);
        true
    }

    /// Opens the file at the path where a search found its inode. Returns false if it is another file.
    pub fn follow_to(&mut self, path: &Path, sensor: &SensorId) -> bool {
        let is_same = self.is_at(path, sensor) && self.reopen_at(path).is_ok();
        if is_same {
            tracing::info!(
                from = %self.path().display(), to = %path.display(),
                "the log was moved and no pattern matches it any more; following it"
            );
            self.reading.set_ready(true);
        }
        is_same
    }

    /// Opens the file at another path.
    pub(super) fn reopen_at(&mut self, path: &Path) -> io::Result<()> {
        self.identity.move_to(path.to_owned());
        self.close();
        self.open()
    }

    /// Whether it is open only in case something is appended.
    pub fn is_open_at_rest(&self) -> bool {
        let reading = &self.reading;
        let is_unlisted = !self.fate.is_listed() && !self.fate.is_gone();
        is_unlisted && reading.is_open() && self.disk.is_complete() && !reading.is_ready()
    }

    /// Whether the file is open and has no name any more.
    pub fn is_open_and_deleted(&self) -> bool {
        let meta = self.reading.input().map(|input| input.metadata());
        meta.is_some_and(|meta| meta.is_ok_and(|meta| meta.nlink() == 0))
    }

    /// Whether the file has no name any more.
    pub fn is_deleted(&self) -> bool {
        self.metadata().is_none_or(|meta| meta.nlink() == 0)
    }
}
