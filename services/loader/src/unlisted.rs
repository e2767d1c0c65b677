//! Files that no pattern matches any more: moved to another directory or name, deleted, or behind a symbolic
//! link that now points to another file. The writer may still have them open and append to them, so they are
//! followed by their descriptor, and after a restart by their inode.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs,
    os::unix::fs::{DirEntryExt, MetadataExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::{
    checkpoint::{FilePoint, Stamp},
    logs::{self, Found},
    tailer::Tailer,
    tracked::Tracked,
};

/// A file that no scan found for this long was not just being renamed during a scan.
const RENAME_TIME: Duration = Duration::from_secs(3);
/// A file stays open until it was idle for this long.
pub(crate) const FORGET_AFTER: Duration = Duration::from_secs(60);
/// A deleted file without a copy can never be opened again: it stays open until it was idle for this long.
const DELETED_QUIET: Duration = Duration::from_secs(600);
/// At most this many unlisted files that were read to their ends stay open: those written most recently.
const HELD_OPEN: usize = 64;
/// Directory entries checked in one search, at most.
const SEEK_ENTRIES: usize = 50_000;
/// Depth of the search below the directory where a file was.
const SEEK_DEPTH: u32 = 3;

impl Tailer {
    /// Handles the files that the last scan did not find by name.
    pub fn follow_unlisted(&mut self) {
        let (mut lost, mut sought, mut deleted) = (Vec::new(), Vec::new(), Vec::new());
        for (&key, file) in self.files.iter_mut().filter(|(_, file)| !file.listed && !file.gone) {
            let unlisted = file.leave_pattern();
            let Some(meta) = file.metadata() else {
                // Nothing is appended to an archive.
                match unlisted >= RENAME_TIME {
                    true if file.compressed || file.identity.is_none() => lost.push(key),
                    true => sought.push(key),
                    false => (),
                }
                continue;
            };
            self.dirty |= file.note_place(&meta);
            if file.complete.is_none() {
                continue;
            }
            let quiet = file.quiet_since.map_or(Duration::ZERO, |since| since.elapsed());
            match () {
                () if file.unwanted || file.compressed => lost.push(key),
                () if meta.nlink() > 0 || quiet < FORGET_AFTER => (),
                () if quiet >= DELETED_QUIET => lost.push(key),
                () => deleted.push(key),
            }
        }
        // A file that was replaced by a copy (by rsync or an editor): if it has a writer, the writer opens
        // the copy.
        lost.extend(deleted.into_iter().filter(|&key| self.is_copied(key)));
        lost.extend(self.seek(&sought));
        lost.into_iter().for_each(|key| self.lose(key));
        self.hold_fewer();
        // A lost file is forgotten once everything published of it is committed.
        let before = self.files.len();
        self.files.retain(|_, file| !(file.gone && file.segments.is_empty() && file.lost.is_none()));
        self.dirty |= self.files.len() < before;
    }

    /// Searches for files that were not open when they disappeared; returns those that were not found.
    fn seek(&mut self, keys: &[u64]) -> Vec<u64> {
        let files: Vec<_> = keys.iter().filter_map(|key| self.files.get(key)).collect();
        if files.is_empty() {
            return Vec::new();
        }
        let wanted = files.iter().map(|file| (file.device, file.inode)).collect();
        let places = find(&wanted, files.iter().flat_map(|file| [file.path.as_path(), file.real.as_path()]));
        let sensor = self.sensor.clone();
        let mut missing = Vec::new();
        for &key in keys {
            let Some(file) = self.files.get_mut(&key) else { continue };
            let place = places.get(&(file.device, file.inode)).filter(|place| file.lies_at(place, &sensor));
            match place {
                Some(place) if file.open_where(place).is_ok() => {
                    tracing::info!(from = %file.path.display(), to = %place.display(), "the log was moved and no pattern matches it any more; following it");
                    file.ready = true;
                }
                _ => missing.push(key),
            }
        }
        missing
    }

    /// If too many unlisted files are open, closes those that have been idle longest. A file that still has a
    /// name is followed by its name.
    fn hold_fewer(&mut self) {
        let at_rest = |file: &Tracked| {
            !file.listed && !file.gone && file.input.is_some() && file.complete.is_some() && !file.ready
        };
        let mut held: Vec<_> = self
            .files
            .iter()
            .filter(|(_, file)| at_rest(file))
            .map(|(key, file)| (file.quiet_since, *key))
            .collect();
        held.sort();
        for &(since, key) in held.iter().take(held.len().saturating_sub(HELD_OPEN)) {
            if since.is_some_and(|since| since.elapsed() < FORGET_AFTER) {
                break;
            }
            let deleted =
                self.files.get(&key).and_then(Tracked::metadata).is_none_or(|meta| meta.nlink() == 0);
            if deleted {
                self.lose(key);
            } else if let Some(file) = self.files.get_mut(&key) {
                file.input = None;
            }
        }
    }

    /// Called after the first scan. Searches for files of the checkpoint that no pattern matched. If a file
    /// is not found, its uncommitted bytes may still be on their way to Postgres.
    pub fn find_known(&mut self) -> anyhow::Result<()> {
        let known = std::mem::take(&mut self.known);
        if known.is_empty() {
            return Ok(());
        }
        // Nothing is appended to an archive.
        let sought: Vec<_> = known
            .iter()
            .filter(|point| !(point.gone || point.compressed && point.complete.is_some()))
            .collect();
        let wanted = sought
            .iter()
            .filter(|point| in_place(point).is_none())
            .map(|point| (point.device, point.inode))
            .collect();
        let places = find(
            &wanted,
            sought.iter().flat_map(|point| [Path::new(&point.path), Path::new(&point.real_path)]),
        );
        let listing = logs::list(&self.patterns)?;
        let any = listing.files.first();
        for point in known {
            if listing.hides(Path::new(&point.path)) {
                self.known.push(point);
                continue;
            }
            let place = places.get(&(point.device, point.inode)).cloned();
            if let Some(file) = self.out_of_sight(&point, place) {
                self.insert(file);
                continue;
            }
            if !point.gone && !point.compressed && point.unlisted {
                tracing::warn!(
                    path = point.real_path,
                    "could not find a log that no pattern matches any more; bytes appended to it meanwhile cannot be read"
                );
            }
            match any {
                Some(any) => self.keep_lost(&point, any),
                // No file is there whose metadata could be used: keep the entry in the checkpoint.
                None => self.known.push(point),
            }
        }
        Ok(())
    }

    /// Finds a file of the checkpoint that no pattern matches any more: at its old path, where the search
    /// found it, or open in another process.
    fn out_of_sight(&self, point: &FilePoint, place: Option<PathBuf>) -> Option<Tracked> {
        if point.gone {
            return None;
        }
        let at = in_place(point).or(place).or_else(|| held_by_process(point))?;
        let meta = fs::metadata(&at).ok()?;
        let mut file = Tracked::resume(&Found { path: at.clone(), meta, live: false }, point, &self.sensor);
        if file.generation != point.generation || (file.device, file.inode) != (point.device, point.inode) {
            return None;
        }
        file.listed = false;
        // A pattern matched it when the checkpoint was written, and it was not moved: the patterns were
        // changed.
        file.unwanted = !point.unlisted && at == Path::new(&point.path);
        if !at.starts_with("/proc") {
            tracing::info!(from = point.path, to = %at.display(), "no pattern matches the log any more; following it");
        }
        file.open_where(&at).ok()?;
        file.ready = file.complete.is_none();
        file.path = PathBuf::from(&point.path);
        if at.starts_with("/proc") {
            file.real = PathBuf::from(&point.real_path);
        }
        Some(file)
    }
}

impl Tracked {
    /// Marks the file as unlisted; returns since how long it is.
    fn leave_pattern(&mut self) -> Duration {
        self.live = false;
        if let Some(since) = self.unlisted_since {
            return since.elapsed();
        }
        self.unlisted_since = Some(Instant::now());
        // While it is open it can be followed, wherever it is moved. A file that cannot be opened was renamed
        // or deleted.
        if self.input.is_none() && !self.compressed && self.open().is_ok() {
            self.quiet_since.get_or_insert_with(Instant::now);
        }
        Duration::ZERO
    }

    /// Updates its size and path. Returns whether its path changed.
    fn note_place(&mut self, meta: &fs::Metadata) -> bool {
        let stamp = Stamp::of(meta);
        if stamp != self.stamp {
            self.stamp = stamp;
            self.extent = self.extent.max(stamp.size);
            self.complete = None;
            self.ready = true;
        }
        let Some(place) = self.input.as_ref().filter(|_| meta.nlink() > 0).and_then(|input| input.place())
        else {
            return false;
        };
        if place == self.real {
            return false;
        }
        tracing::info!(from = %self.real.display(), to = %place.display(), "the log was moved and no pattern matches it any more; following it");
        self.real = place;
        // Announce the new path with the next message.
        self.announced = false;
        true
    }

    fn open_where(&mut self, place: &Path) -> std::io::Result<()> {
        self.real = place.to_owned();
        self.input = None;
        self.open()?;
        self.announced = false;
        Ok(())
    }
}

/// The path of a file in the checkpoint, if the file is still there.
fn in_place(point: &FilePoint) -> Option<PathBuf> {
    let same = |path: &&String| {
        fs::metadata(path).is_ok_and(|meta| (meta.dev(), meta.ino()) == (point.device, point.inode))
    };
    // Its own name first: this distinguishes a changed pattern from a moved file.
    [&point.path, &point.real_path].into_iter().find(same).map(PathBuf::from)
}

/// Finds files by device and inode: below the directories where they were, and in the directories next to
/// those.
fn find<'a>(
    wanted: &BTreeSet<(u64, u64)>,
    lay: impl Iterator<Item = &'a Path>,
) -> BTreeMap<(u64, u64), PathBuf> {
    let mut found = BTreeMap::new();
    if wanted.is_empty() {
        return found;
    }
    let mut queue = VecDeque::new();
    for directory in
        lay.filter_map(Path::parent).filter(|directory| directory.is_absolute()).collect::<BTreeSet<_>>()
    {
        queue.push_back((directory.to_owned(), SEEK_DEPTH));
        queue.extend(directory.parent().map(|above| (above.to_owned(), 1)));
    }
    let (mut visited, mut left) = (BTreeSet::new(), SEEK_ENTRIES);
    while let Some((directory, depth)) = queue.pop_front() {
        if left == 0 || found.len() == wanted.len() || !visited.insert((directory.clone(), depth)) {
            continue;
        }
        for entry in fs::read_dir(&directory).into_iter().flatten().filter_map(Result::ok).take(left) {
            left -= 1;
            let directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if directory && depth > 0 {
                queue.push_back((entry.path(), depth - 1));
            }
            if !directory && wanted.iter().any(|&(_, inode)| inode == entry.ino()) {
                let at = entry
                    .metadata()
                    .ok()
                    .filter(fs::Metadata::is_file)
                    .map(|meta| (meta.dev(), meta.ino()))
                    .filter(|at| wanted.contains(at));
                found.extend(at.map(|at| (at, entry.path())));
            }
        }
    }
    found
}

/// Finds a deleted file that its writer still has open, where the system permits it: same user or root, same
/// PID namespace.
fn held_by_process(point: &FilePoint) -> Option<PathBuf> {
    let mine = |path: &PathBuf| {
        fs::metadata(path).is_ok_and(|meta| (meta.dev(), meta.ino()) == (point.device, point.inode))
    };
    let numbered =
        |entry: &fs::DirEntry| entry.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit());
    let processes = fs::read_dir("/proc").ok()?.filter_map(Result::ok).filter(numbered);
    processes
        .filter_map(|process| fs::read_dir(process.path().join("fd")).ok())
        .flatten()
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(mine)
}
