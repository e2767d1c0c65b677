//! Scans the directories for files that are new, renamed, truncated or gone.

use std::{collections::HashMap, io, os::unix::fs::MetadataExt, time::Instant};

use super::Tailer;
use crate::{
    checkpoint::{FilePoint, Stamp},
    descriptors,
    file::{ARCHIVE_AGE, Change, LogFile},
    files::FileKey,
    logs::{self, Found},
    metrics::TRUNCATIONS,
};

/// With more open files than this, a new file is not kept open after its first line was read.
pub(super) const OPEN_AT_REST: usize = 100;

impl Tailer {
    /// Called when the system reported a change: open files may have grown, and names may have changed.
    pub(super) fn look_again(&mut self) -> anyhow::Result<()> {
        if self.timers.is_scan_due(Default::default()) {
            return self.scan();
        }
        self.files.iter_mut().for_each(|(_, file)| file.look_again());
        Ok(())
    }

    /// Compares the files on disk with the files that are followed.
    pub(super) fn scan(&mut self) -> anyhow::Result<()> {
        let begun = Instant::now();
        let listing = logs::list(&self.settings.patterns)?;
        listing.report_unseen(&mut self.unseen);
        let followed = self.files.begin_scan(&listing);
        let (gone, known): (Vec<_>, Vec<_>) =
            self.files.take_known().into_iter().partition(|point| point.gone);
        let mut known: HashMap<_, _> =
            known.into_iter().map(|point| ((point.device, point.inode), point)).collect();
        let mut settling = std::mem::take(&mut self.settling);
        for found in &listing.files {
            let inode = (found.meta.dev(), found.meta.ino());
            match followed.get(&inode) {
                Some(&key) => self.found_again(key, found),
                None if self.is_being_written(found, known.get(&inode), settling.remove(&inode)) => (),
                None => self.add(found, known.remove(&inode)),
            }
        }
        self.files.keep_known(gone);
        self.files.keep_known(known.into_values());
        self.follow_unlisted();
        self.save_new_files();
        self.update_statistics();
        self.timers.scanned(begun);
        Ok(())
    }

    /// Whether an archive that is not followed yet must wait. Its modification time is no help: clocks
    /// differ, and `cp -p` and `rsync -t` set it.
    fn is_being_written(
        &mut self,
        found: &Found,
        known: Option<&FilePoint>,
        seen: Option<(Stamp, Instant)>,
    ) -> bool {
        let stamp = Stamp::of(&found.meta);
        let is_complete = known.is_some_and(|point| point.complete == Some(stamp));
        if !found.is_archive() || self.settings.once || is_complete {
            return false;
        }
        let since = seen.filter(|(before, _)| *before == stamp).map_or_else(Instant::now, |(_, since)| since);
        if since.elapsed() >= ARCHIVE_AGE {
            return false;
        }
        self.settling.insert((found.meta.dev(), found.meta.ino()), (stamp, since));
        true
    }

    /// Updates a file that is already followed.
    fn found_again(&mut self, key: FileKey, found: &Found) {
        let Some(file) = self.files.get_mut(key) else { return };
        match file.found_again(found, self.settings.once) {
            Change::None => (),
            Change::OtherArchive => self.restart(key, found),
            Change::Truncated => self.truncated(key),
        }
    }

    /// Starts to follow a file.
    fn add(&mut self, found: &Found, known: Option<FilePoint>) {
        let mut file = match known {
            None => LogFile::new(found, 0),
            Some(point) => {
                let file = LogFile::resume(found, &point, &self.settings.sensor);
                if file.identity().generation() != point.generation {
                    self.follow_lost(&point, found);
                }
                file
            }
        };
        if !found.is_archive() && (file.reading().is_ready() || file.fate().is_live()) {
            if descriptors::is_full() {
                self.files.close_some(None);
            }
            let opened = file.open_and_identify();
            let is_identified = file.identity().id().is_some();
            match opened {
                // It was renamed or replaced after it was listed. The next scan finds it, or the file that
                // has its name now.
                Err(error) if error.kind() == io::ErrorKind::NotFound && !is_identified => return,
                // The reader retries, and reports the error.
                Err(_) => (),
                Ok(()) => self.checkpoint.mark_new_file(is_identified),
            }
            if self.files.open_count() >= OPEN_AT_REST {
                file.close();
            }
        }
        self.files.insert(file);
    }

    /// Keeps following bytes of the checkpoint that no longer exist on disk: they may still be on their way
    /// to Postgres.
    pub(super) fn follow_lost(&mut self, point: &FilePoint, found: &Found) {
        if let Some(lost) = LogFile::lost(point, found, &self.broker.streams().seen()) {
            self.files.insert(lost);
        }
    }

    /// The same inode starts with new content. The published part of the old content is followed until it is
    /// committed.
    pub(super) fn truncated(&mut self, key: FileKey) {
        let Some(file) = self.files.get(key) else { return };
        let path = file.path().to_owned();
        tracing::info!(
            path = %path.display(), read = file.reading().offset(),
            "the log was truncated in place; reading it from its start"
        );
        metrics::counter!(TRUNCATIONS).increment(1);
        let meta = if file.fate().is_listed() { std::fs::metadata(&path).ok() } else { file.metadata() };
        let Some(meta) = meta else { return self.lose(key) };
        let found = Found { path, meta, live: file.fate().is_live() };
        self.restart(key, &found);
    }

    /// Follows the next generation of a file, if the same inode was found.
    fn restart(&mut self, key: FileKey, found: &Found) {
        let Some(file) = self.files.get(key) else { return };
        let is_same = file.identity().is_same_inode(&found.meta);
        let next = file.next_generation(found);
        self.lose(key);
        if is_same {
            self.files.insert(next);
        }
    }

    /// The bytes of this file can no longer be read. Their published part is followed until it is
    /// committed.
    pub(super) fn lose(&mut self, key: FileKey) {
        self.checkpoint.mark(true);
        if self.files.get_mut(key).is_some_and(|file| !file.lose()) {
            self.files.remove(key);
        }
    }
}
