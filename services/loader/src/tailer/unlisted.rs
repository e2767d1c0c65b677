//! Files that no pattern matches any more: moved to another directory or name, deleted, or behind a symbolic
//! link that now points to another file. The writer may still have them open and append to them, so they are
//! followed by their descriptor, and after a restart by their inode.

use std::path::{Path, PathBuf};

use super::Tailer;
use crate::{
    checkpoint::FilePoint,
    file::{FORGET_AFTER, LogFile, Unlisted},
    files::FileKey,
    logs, search,
};

/// At most this many unlisted files that were read to their ends stay open: those written most recently.
const HELD_OPEN: usize = 64;

impl Tailer {
    /// Handles the files that the last scan did not find by name.
    pub(super) fn follow_unlisted(&mut self) {
        let (mut lost, mut sought, mut deleted) = (Vec::new(), Vec::new(), Vec::new());
        let is_unlisted = |file: &LogFile| !file.fate().is_listed() && !file.fate().is_gone();
        for (key, file) in self.files.iter_mut().filter(|(_, file)| is_unlisted(file)) {
            let (next, is_moved) = file.follow_unlisted();
            self.checkpoint.mark(is_moved);
            match next {
                Unlisted::Follow => (),
                Unlisted::Lose => lost.push(key),
                Unlisted::LoseIfCopied => deleted.push(key),
                Unlisted::Search => sought.push(key),
            }
        }
        // A file that was replaced by a copy (by rsync or an editor): if it has a writer, the writer opens
        // the copy.
        lost.extend(deleted.into_iter().filter(|&key| self.files.is_copied(key)));
        lost.extend(self.search(&sought));
        lost.into_iter().for_each(|key| self.lose(key));
        self.hold_fewer();
        // A lost file is forgotten once everything published of it is committed.
        self.checkpoint.mark(self.files.remove_forgotten());
    }

    /// Searches for files that were not open when they disappeared; returns those that were not found.
    fn search(&mut self, keys: &[FileKey]) -> Vec<FileKey> {
        let files: Vec<_> = keys.iter().filter_map(|&key| self.files.get(key)).collect();
        if files.is_empty() {
            return Vec::new();
        }
        let wanted = files.iter().map(|file| file.identity().inode()).collect();
        let last_paths = files.iter().flat_map(|file| [file.path(), file.identity().real_path()]);
        let found = search::find(&wanted, last_paths);
        let mut missing = Vec::new();
        for &key in keys {
            let Some(file) = self.files.get_mut(key) else { continue };
            let path = found.get(&file.identity().inode());
            if !path.is_some_and(|path| file.follow_to(path, &self.settings.sensor)) {
                missing.push(key);
            }
        }
        missing
    }

    /// If too many unlisted files are open, closes those that have been idle longest. A file that still has a
    /// name is followed by its name.
    fn hold_fewer(&mut self) {
        let held = self.files.iter().filter(|(_, file)| file.is_open_at_rest());
        let mut held: Vec<_> = held.map(|(key, file)| (file.reading().quiet_since(), key)).collect();
        held.sort();
        for &(since, key) in held.iter().take(held.len().saturating_sub(HELD_OPEN)) {
            if since.is_some_and(|since| since.elapsed() < FORGET_AFTER) {
                break;
            }
            if self.files.get(key).is_none_or(LogFile::is_deleted) {
                self.lose(key);
            } else if let Some(file) = self.files.get_mut(key) {
                file.close();
            }
        }
    }

    /// Called after the first scan. Searches for files of the checkpoint that no pattern matched. If a file
    /// is not found, its uncommitted bytes may still be on their way to Postgres.
    pub(super) fn find_known(&mut self) -> anyhow::Result<()> {
        let known = self.files.take_known();
        if known.is_empty() {
            return Ok(());
        }
        // Nothing is appended to an archive.
        let may_grow = |point: &&FilePoint| !(point.gone || point.compressed && point.complete.is_some());
        let sought: Vec<_> = known.iter().filter(may_grow).collect();
        let wanted = sought
            .iter()
            .filter(|point| search::last_path(point).is_none())
            .map(|point| (point.device, point.inode))
            .collect();
        let last_paths =
            sought.iter().flat_map(|point| [Path::new(&point.path), Path::new(&point.real_path)]);
        let found = search::find(&wanted, last_paths);
        let listing = logs::list(&self.settings.patterns)?;
        for point in known {
            if listing.hides(Path::new(&point.path)) {
                self.files.keep_known([point]);
                continue;
            }
            let path = found.get(&(point.device, point.inode)).cloned();
            if let Some(file) = self.resume_unlisted(&point, path) {
                self.files.insert(file);
                continue;
            }
            if !point.gone && !point.compressed && point.unlisted {
                tracing::warn!(
                    path = point.real_path,
                    "could not find a log that no pattern matches any more; bytes appended to it meanwhile \
                     cannot be read"
                );
            }
            match listing.files.first() {
                Some(any) => self.follow_lost(&point, any),
                // No file is there whose metadata could be used: keep the entry in the checkpoint.
                None => self.files.keep_known([point]),
            }
        }
        Ok(())
    }

    /// Finds a file of the checkpoint that no pattern matches any more: at its old path, where the search
    /// found it, or open in another process.
    fn resume_unlisted(&self, point: &FilePoint, found: Option<PathBuf>) -> Option<LogFile> {
        if point.gone {
            return None;
        }
        let path = search::last_path(point).or(found).or_else(|| search::held_by_process(point))?;
        LogFile::resume_unlisted(&path, point, &self.settings.sensor)
    }
}
