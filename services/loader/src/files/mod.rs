//! The files of a sensor.

mod stitching;

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
};

use events::{FileId, MAX_LINE};

use crate::{checkpoint::FilePoint, descriptors, file::LogFile, logs::Listing, statistics::Problem};

/// 1/N of the open logs is closed at once when there are too many.
const CLOSED_SHARE: usize = 8;

/// Distinguishes the files of a sensor in this process. Keys are given in the order in which files are found.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct FileKey(pub u64);

pub(crate) struct Files {
    files: BTreeMap<FileKey, LogFile>,
    last_key: FileKey,
    /// Files of the checkpoint that were not found yet.
    known: Vec<FilePoint>,
    /// The next file to read is not a live one, if such a file is ready.
    backlog_next: bool,
    /// The live file that was read last.
    last_live: FileKey,
}

impl Files {
    /// `known` are the files of the checkpoint.
    pub fn new(known: Vec<FilePoint>) -> Self {
        let (none, files) = (FileKey(0), BTreeMap::new());
        Self { files, last_key: none, known, backlog_next: false, last_live: none }
    }

    pub fn get(&self, key: FileKey) -> Option<&LogFile> {
        self.files.get(&key)
    }

    pub fn get_mut(&mut self, key: FileKey) -> Option<&mut LogFile> {
        self.files.get_mut(&key)
    }

    /// The file, if reading was not reset since this epoch.
    pub fn in_epoch(&mut self, key: FileKey, epoch: u64) -> Option<&mut LogFile> {
        self.get_mut(key).filter(|file| file.progress().epoch() == epoch)
    }

    pub fn by_id_mut(&mut self, id: FileId) -> Option<&mut LogFile> {
        self.files.values_mut().find(|file| file.identity().id() == Some(id))
    }

    pub fn insert(&mut self, file: LogFile) {
        self.last_key.0 += 1;
        self.files.insert(self.last_key, file);
    }

    pub fn remove(&mut self, key: FileKey) {
        self.files.remove(&key);
    }

    pub fn len(&self) -> usize {
        self.files.len()
    }

    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = (FileKey, &LogFile)> {
        self.files.iter().map(|(key, file)| (*key, file))
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (FileKey, &mut LogFile)> {
        self.files.iter_mut().map(|(key, file)| (*key, file))
    }

    pub fn values(&self) -> impl Iterator<Item = &LogFile> {
        self.files.values()
    }

    /// The keys of the files for which `is_wanted` holds.
    pub fn keys_where(&self, is_wanted: impl Fn(&LogFile) -> bool) -> Vec<FileKey> {
        self.iter().filter(|(_, file)| is_wanted(file)).map(|(key, _)| key).collect()
    }

    /// Removes the files that are gone and of which nothing is outstanding. Returns whether there were any.
    pub fn remove_forgotten(&mut self) -> bool {
        let before = self.len();
        self.files.retain(|_, file| !file.is_forgotten());
        self.len() < before
    }

    /// Chooses the next file to read. Alternates between live files and the backlog (oldest first), so that
    /// neither starves the other.
    pub fn choose(&mut self) -> Option<FileKey> {
        let is_ready =
            |file: &LogFile, is_live: bool| file.reading().is_ready() && file.fate().is_live() == is_live;
        let first = |is_live: bool| self.iter().find(|(_, file)| is_ready(file, is_live)).map(|(key, _)| key);
        let chosen = if self.backlog_next {
            first(false).or_else(|| first(true))
        } else {
            first(true).or_else(|| first(false))
        };
        self.backlog_next = !self.backlog_next;
        let key = chosen?;
        let is_live = self.get(key).is_some_and(|file| file.fate().is_live());
        if is_live && self.values().filter(|file| is_ready(file, true)).count() > 1 {
            // Several live files are read in turn.
            let mut later = self.files.range((Bound::Excluded(self.last_live), Bound::Unbounded));
            self.last_live = later.find(|(_, file)| is_ready(file, true)).map_or(key, |(key, _)| *key);
            return Some(self.last_live);
        }
        Some(key)
    }

    /// A scan begins. Returns the files that can be found, by device and inode.
    pub fn begin_scan(&mut self, listing: &Listing) -> HashMap<(u64, u64), FileKey> {
        let mut keys = HashMap::new();
        for (key, file) in self.iter_mut() {
            file.begin_scan(listing.hides(file.path()));
            if !file.fate().is_gone() {
                keys.insert(file.identity().inode(), key);
            }
        }
        keys
    }

    /// Takes the files of the checkpoint that were not found yet.
    pub fn take_known(&mut self) -> Vec<FilePoint> {
        std::mem::take(&mut self.known)
    }

    /// Keeps files of the checkpoint that were not found yet.
    pub fn keep_known(&mut self, points: impl IntoIterator<Item = FilePoint>) {
        self.known.extend(points);
    }

    /// The entries of the checkpoint.
    pub fn points(&self) -> Vec<FilePoint> {
        self.values().filter_map(LogFile::point).chain(self.known.iter().cloned()).collect()
    }

    pub fn lag(&self) -> u64 {
        self.values().map(LogFile::lag).sum()
    }

    /// Size of the files, as far as known without decompressing.
    pub fn total(&self) -> u64 {
        self.values().map(LogFile::size).sum()
    }

    /// The files that cannot be read, or not to their ends.
    pub fn problems(&self) -> Vec<Problem> {
        let existing = self.values().filter(|file| !file.fate().is_gone());
        existing.filter_map(LogFile::problem).collect()
    }

    pub fn open_count(&self) -> usize {
        self.values().filter(|file| file.reading().is_open()).count()
    }

    /// Closes other logs, if necessary, before this log is opened.
    pub fn free_descriptors(&mut self, key: FileKey) {
        if descriptors::is_full() && self.get(key).is_some_and(|file| !file.reading().is_open()) {
            self.close_some(Some(key));
        }
    }

    /// Closes the logs that were least recently read, except for `but`. A log that no pattern matches any
    /// more stays open: it could not be opened again by its name. An archive that was read in part is closed
    /// last, because it would have to be decompressed again.
    pub fn close_some(&mut self, but: Option<FileKey>) {
        let is_read_in_part = |file: &LogFile| file.reading().is_archive() && file.reading().is_ready();
        let mut open: Vec<_> = self
            .iter()
            .filter(|(key, file)| Some(*key) != but && file.fate().is_listed() && file.reading().is_open())
            .map(|(key, file)| (is_read_in_part(file), file.reading().used(), key))
            .collect();
        open.sort_unstable();
        for &(.., key) in open.iter().take(open.len().div_ceil(CLOSED_SHARE)) {
            if let Some(file) = self.get_mut(key) {
                file.close();
            }
        }
    }

    /// Whether a copy of this file exists.
    pub fn is_copied(&self, key: FileKey) -> bool {
        let Some(file) = self.get(key) else { return false };
        self.iter().any(|(other, copy)| other != key && copy.is_copy_of(file))
    }

    /// Whether a deleted file ends with a partial line that another file has at the same offset. When a file
    /// is replaced (as rsync does) while its original is being written, it ends anywhere. The line continues
    /// in the copy, which is read as well.
    pub fn is_partial_line_copied(&self, key: FileKey) -> bool {
        let file = self.get(key).filter(|file| !file.fate().is_listed() && !file.reading().is_archive());
        let Some(file) = file else { return false };
        let Some(start) = file.reading().unfinished() else { return false };
        let read = file.reading().offset();
        let length = usize::try_from(read - start).unwrap_or(usize::MAX);
        if length > MAX_LINE || !file.is_open_and_deleted() {
            return false;
        }
        let Ok(partial) = file.bytes_at(start, length) else { return false };
        let fingerprint = file.identity().fingerprint();
        let is_copy = |other: &LogFile| {
            let is_there = other.fate().is_listed() || other.disk().largest_size() > read;
            let is_same = start == 0 || other.identity().fingerprint() == fingerprint;
            !other.fate().is_gone()
                && !other.reading().is_archive()
                && is_there
                && is_same
                && other.bytes_at(start, length).is_ok_and(|bytes| bytes == partial)
        };
        self.iter().any(|(other, copy)| other != key && is_copy(copy))
    }
}
