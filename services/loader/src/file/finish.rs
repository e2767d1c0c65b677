//! Ends a file to which nothing will be appended, and closes one that is idle.

use std::time::Duration;

use events::line::Item;

use super::{LogFile, unlisted::FORGET_AFTER};
use crate::checkpoint::Stamp;

/// When many files are open, a live log that was idle for this long is closed. It is opened again when it
/// grows.
const CLOSE_IDLE: Duration = Duration::from_secs(600);
/// In `once` mode, a last line without newline may be completed within this time.
const ONCE_PATIENCE: Duration = Duration::from_secs(2);

impl LogFile {
    /// Whether nothing will be appended, and its last line was not taken or its damage not reported.
    pub fn must_finish(&self, once: bool, close_after: Duration) -> bool {
        let reading = &self.reading;
        let Some(quiet) = reading.quiet_for() else { return false };
        if reading.is_ready() || self.fate.is_gone() || self.disk.archive_changed_for().is_some() {
            return false;
        }
        let is_closed = match (reading.is_archive(), once) {
            // A damaged archive may still be being copied.
            (true, false) => !self.trouble.is_damaged() || quiet >= close_after,
            (true, true) => true,
            (false, true) => quiet >= ONCE_PATIENCE,
            (false, false) => !self.fate.is_live() && quiet >= close_after,
        };
        let is_unfinished = !reading.has_ended() && reading.unfinished().is_some();
        is_closed && (is_unfinished || self.trouble.has_unreported_damage())
    }

    /// Takes the last line without its newline.
    pub fn finish(&mut self) -> Option<Item> {
        self.reading.finish()
    }

    /// Marks the file as complete if all of it is read and committed. Returns whether it became complete.
    pub fn complete(&mut self) -> bool {
        let reading = &self.reading;
        if self.disk.is_complete()
            || self.fate.is_gone()
            || reading.is_ready()
            || reading.quiet_since().is_none()
            || reading.unfinished().is_some()
            || self.disk.archive_changed_for().is_some()
            || self.trouble.has_unreported_damage()
            || self.progress.is_outstanding()
        {
            return false;
        }
        let open = reading.input().and_then(|input| input.metadata().ok());
        let stamp = open.map_or(self.disk.stamp(), |meta| Stamp::of(&meta));
        let is_complete = reading.is_archive() || reading.offset() == stamp.size;
        if is_complete {
            self.disk.set_complete(stamp);
        }
        is_complete
    }

    /// Closes the file if it can be opened again by its name and nobody seems to write it. A file that no
    /// pattern matches stays open, see `follow_unlisted`.
    pub fn close_if_idle(&mut self, many_are_open: bool) {
        if !self.disk.is_complete() || self.reading.is_ready() || !self.fate.is_listed() {
            return;
        }
        let quiet = |limit| self.reading.quiet_for().is_none_or(|quiet| quiet >= limit);
        let is_idle = match (self.fate.is_live(), self.reading.is_archive()) {
            (_, true) => true,
            // Cowrie may still have it open while it is renamed.
            (true, false) => many_are_open && quiet(CLOSE_IDLE),
            (false, false) => many_are_open || quiet(FORGET_AFTER),
        };
        if is_idle {
            self.close();
        }
    }
}
