//! A file that is followed.
//!
//! **Invariant**: everything before the committed position is in Postgres, a line starts there, and the
//! segments cover what was published after it without a gap.

mod commit;
mod content;
mod disk;
mod fate;
mod finish;
mod gaps;
mod identity;
mod open;
mod partial_line;
mod progress;
mod read;
mod reading;
mod resume;
mod scan;
mod segments;
mod trouble;
mod unlisted;

use std::path::Path;

use events::{Announcement, DeadId, FileId, line::Item};

use crate::{
    checkpoint::{FilePoint, LastLine},
    logs::Found,
    pieces::{Piece, Repair},
    statistics::{Problem, Statistics, Tally},
};

pub(crate) use content::{content, is_nul};
pub(crate) use gaps::Gap;
pub(crate) use partial_line::Rejoin;
pub(crate) use scan::{ARCHIVE_AGE, Change};
pub(crate) use unlisted::{FORGET_AFTER, Unlisted};

use disk::DiskState;
use fate::Fate;
use identity::Identity;
use progress::Progress;
use reading::Reading;
use trouble::Trouble;

/// One generation of one inode. Each truncation starts a new generation.
pub(crate) struct LogFile {
    identity: Identity,
    reading: Reading,
    trouble: Trouble,
    progress: Progress,
    disk: DiskState,
    fate: Fate,
}

impl LogFile {
    /// A file that was just found.
    pub fn new(found: &Found, generation: u32) -> Self {
        Self {
            identity: Identity::new(found, generation),
            reading: Reading::new(),
            trouble: Trouble::default(),
            progress: Progress::new(),
            disk: DiskState::new(&found.meta),
            fate: Fate::new(found.live),
        }
    }

    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    pub fn reading(&self) -> &Reading {
        &self.reading
    }

    pub fn trouble(&self) -> &Trouble {
        &self.trouble
    }

    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    pub fn disk(&self) -> &DiskState {
        &self.disk
    }

    pub fn fate(&self) -> &Fate {
        &self.fate
    }

    pub fn path(&self) -> &Path {
        self.identity.path()
    }

    /// Returns the file id. The first line that is not blank determines it.
    pub fn identify(&mut self, item: &Item) -> Option<FileId> {
        self.identity.identify(item)
    }

    /// Forgets the file id if it was made of a partial first line, which is now read as a whole.
    pub fn drop_provisional_id(&mut self) {
        if self.identity.drop_provisional() {
            self.progress.forget_id();
        }
    }

    pub fn announcement(&self) -> Option<Announcement> {
        self.identity.announcement(self.fate.is_listed())
    }

    /// The announcement that goes with the first message after the file was opened.
    pub fn take_announcement(&mut self) -> Option<Announcement> {
        self.identity.take_announcement(self.fate.is_listed())
    }

    /// Adds what was read up to `end` to the statistics, unless it was counted before. Returns whether it was
    /// added.
    pub fn count(&mut self, end: u64, tally: &Tally, statistics: &Statistics) -> bool {
        self.progress.count(end, tally, statistics)
    }

    /// Counts the repair of a line, unless it was counted before. Returns whether it was counted now.
    pub fn count_repair(&mut self, repair: Repair, end: u64) -> bool {
        let is_new = end > self.progress.counted();
        if is_new {
            self.progress.count_repair(repair);
        }
        is_new
    }

    /// Counts a last line that was taken without its newline.
    pub fn count_unfinished(&mut self) {
        self.progress.count_unfinished();
    }

    /// Counts the lines at the start of the file that are not JSON. Returns true when they have become too
    /// many.
    pub fn count_strange_line(&mut self, is_strange: bool) -> bool {
        self.progress.count_strange_line(is_strange)
    }

    /// Adds a line that is published as these pieces. Returns those that are not committed yet, each with the
    /// dead letter of a partial line that it replaces. `partial` is what the statistics counted for a line
    /// without newline.
    pub fn add_line(
        &mut self,
        line: LastLine,
        pieces: Vec<Piece>,
        partial: Option<Tally>,
    ) -> Vec<(Piece, Option<DeadId>)> {
        self.progress.add_line(line, pieces, partial)
    }

    /// Whether everything that can be read of it was read and is committed.
    pub fn is_settled(&self) -> bool {
        let (reading, fate) = (&self.reading, &self.fate);
        let at_end = !reading.is_ready() && reading.quiet_since().is_some() || self.disk.is_complete();
        !self.progress.is_outstanding()
            && fate.lost_for().is_none()
            && (!self.trouble.has_unreported_damage() || fate.is_gone())
            && (fate.is_gone() || self.trouble.is_refused() || at_end && reading.unfinished().is_none())
    }

    /// Whether its bytes can no longer be read and nothing of it is outstanding.
    pub fn is_forgotten(&self) -> bool {
        self.fate.is_gone() && !self.progress.is_outstanding() && self.fate.lost_for().is_none()
    }

    /// Bytes on disk that are not committed, as far as known.
    pub fn lag(&self) -> u64 {
        let read = self.reading.offset();
        let outstanding = self.progress.is_outstanding();
        let uncommitted = if outstanding { read.saturating_sub(self.progress.position()) } else { 0 };
        let is_known = self.disk.is_complete() || self.fate.is_gone() || self.reading.is_archive();
        let unread = if is_known { 0 } else { self.disk.size().saturating_sub(read) };
        uncommitted + unread
    }

    /// Size, as far as known without decompressing; 0 when its bytes can no longer be read.
    pub fn size(&self) -> u64 {
        if self.fate.is_gone() { 0 } else { self.disk.size().max(self.reading.offset()) }
    }

    /// Why it could not be read, or not to its end.
    pub fn problem(&self) -> Option<Problem> {
        let (path, why) = (self.path().to_owned(), self.trouble.problem()?.to_owned());
        Some(Problem { path, why, damaged: self.trouble.is_damaged() })
    }

    /// Whether the heartbeat lists it: Cowrie may be writing it, it is not wholly committed, or it has a
    /// problem.
    pub fn is_of_interest(&self) -> bool {
        self.fate.is_live() || !self.disk.is_complete() || self.trouble.problem().is_some()
    }

    /// The file's entry in the checkpoint; `None` before its first line is complete.
    pub fn point(&self) -> Option<FilePoint> {
        let (device, inode) = self.identity.inode();
        let is_archive = self.reading.is_archive();
        Some(FilePoint {
            file_id: self.identity.id()?,
            path: self.path().to_string_lossy().into_owned(),
            device,
            inode,
            generation: self.identity.generation(),
            fingerprint: self.identity.fingerprint()?,
            compressed: is_archive,
            position: self.progress.position(),
            real_path: self.identity.real_path().to_string_lossy().into_owned(),
            extent: if is_archive { 0 } else { self.disk.largest_size() },
            published: self.progress.published(),
            gone: self.fate.is_gone(),
            unlisted: !self.fate.is_listed(),
            repairs: self.progress.repairs(),
            last_line: self.progress.last_committed_line(),
            complete: self.disk.complete(),
            damage: self.trouble.damage().map(str::to_owned),
        })
    }
}
