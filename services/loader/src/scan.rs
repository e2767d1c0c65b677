//! Scans the directories for files that are new, renamed, truncated or gone.

use std::{
    collections::HashMap,
    io,
    os::unix::fs::MetadataExt,
    time::{Duration, Instant},
};

use crate::{
    checkpoint::{FilePoint, Stamp},
    descriptors,
    input::Input,
    logs::{self, Found},
    tailer::Tailer,
    tracked::Tracked,
};

/// Minimum interval between two scans, however often the system reports changes.
const SCAN_GAP: Duration = Duration::from_millis(100);
/// Scans take at most 1/N of the time.
const SCAN_SHARE: u32 = 30;
/// Upper limit of the interval between two scans, however long a scan takes.
const LONGEST_SCAN_GAP: Duration = Duration::from_secs(2);
/// An archive may still be being written: it is read after it was seen unchanged for this long.
const ARCHIVE_AGE: Duration = Duration::from_secs(5);
/// With more files than this, the checkpoint is not written at once when a new file was found.
const MET_AT_ONCE: usize = 100;
/// With more open files than this, a new file is not kept open after its first line was read.
pub(crate) const OPEN_AT_REST: usize = 100;

impl Tailer {
    /// Called when the system reported a change: open files may have grown, and names may have changed.
    pub fn look_again(&mut self) -> anyhow::Result<()> {
        if self.scanned.elapsed() >= self.scan_gap() {
            return self.scan();
        }
        for file in self.files.values_mut().filter(|file| file.input.is_some() && !file.compressed) {
            file.ready = true;
        }
        Ok(())
    }

    /// Compares the files on disk with the files that are followed.
    pub fn scan(&mut self) -> anyhow::Result<()> {
        let begun = Instant::now();
        let listing = logs::list(&self.patterns)?;
        self.files.values_mut().for_each(|file| file.listed = listing.hides(&file.path));
        let followed: HashMap<_, _> = self
            .files
            .iter()
            .filter(|(_, file)| !file.gone)
            .map(|(key, file)| ((file.device, file.inode), *key))
            .collect();
        let (known, others): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.known).into_iter().partition(|point| !point.gone);
        let mut known: HashMap<_, _> =
            known.into_iter().map(|point| ((point.device, point.inode), point)).collect();
        let mut settling = std::mem::take(&mut self.settling);
        for found in &listing.files {
            let place = (found.meta.dev(), found.meta.ino());
            match followed.get(&place) {
                Some(&key) => self.seen(key, found),
                None if self.is_being_written(found, known.get(&place), settling.remove(&place)) => (),
                None => self.add(found, known.remove(&place)),
            }
        }
        self.known = others;
        self.known.extend(known.into_values());
        self.follow_unlisted();
        self.keep_met();
        self.update_statistics();
        (self.scanned, self.scan_took) = (Instant::now(), begun.elapsed());
        Ok(())
    }

    /// Minimum time between two scans: with very many files, scans must take only a small part of a core.
    pub fn scan_gap(&self) -> Duration {
        (self.scan_took * SCAN_SHARE).clamp(SCAN_GAP, LONGEST_SCAN_GAP)
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
        if !is_archive(found) || self.once || known.is_some_and(|point| point.complete == Some(stamp)) {
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
    fn seen(&mut self, key: u64, found: &Found) {
        let Some(file) = self.files.get_mut(&key) else { return };
        if file.path != found.path {
            tracing::info!(from = %file.path.display(), to = %found.path.display(), "the log was renamed");
            file.path = found.path.clone();
            file.real = std::fs::canonicalize(&found.path).unwrap_or_else(|_| found.path.clone());
            // Announce the new path with the next message.
            file.announced = false;
        }
        (file.listed, file.live, file.unlisted_since) = (true, found.live, None);
        file.ready |= file.trouble.is_some() && !file.refused;
        let stamp = Stamp::of(&found.meta);
        if stamp != file.stamp {
            file.stamp = stamp;
            file.extent = file.extent.max(stamp.size);
            file.complete = None;
            file.refused = false;
            file.ready = !file.compressed;
            file.changed = file.compressed.then(Instant::now);
        }
        if file.changed.is_some_and(|since| self.once || since.elapsed() >= ARCHIVE_AGE) {
            // An archive that changed counts as another archive.
            self.restart(key, found);
            return;
        }
        if self.files.get(&key).is_some_and(Tracked::was_truncated) {
            self.truncated(key);
        }
    }

    /// Starts to follow a file.
    fn add(&mut self, found: &Found, known: Option<FilePoint>) {
        let mut file = match known {
            None => Tracked::new(found, 0),
            Some(point) => {
                let file = Tracked::resume(found, &point, &self.sensor);
                if file.generation != point.generation {
                    self.keep_lost(&point, found);
                }
                file
            }
        };
        if !is_archive(found) && (file.ready || file.live) {
            if descriptors::is_full() {
                self.close_some(0);
            }
            match file.meet() {
                // It was renamed or replaced after it was listed. The next scan finds it, or the file that
                // has its name now.
                Err(error) if error.kind() == io::ErrorKind::NotFound && file.identity.is_none() => return,
                // The reader retries, and reports the error.
                Err(_) => (),
                Ok(()) => self.met |= file.identity.is_some(),
            }
            if self.open_files() >= OPEN_AT_REST {
                file.input = None;
            }
        }
        self.insert(file);
    }

    pub fn open_files(&self) -> usize {
        self.files.values().filter(|file| file.input.is_some()).count()
    }

    /// Saves new files in the checkpoint at once, so that they can be found later, wherever they are moved.
    /// With very many files, the regular checkpoint is soon enough.
    pub fn keep_met(&mut self) {
        if !std::mem::take(&mut self.met) {
            return;
        }
        self.dirty = true;
        if self.files.len() <= MET_AT_ONCE {
            self.save_now();
        }
    }

    /// Keeps following bytes of the checkpoint that no longer exist on disk: they may still be on their way
    /// to Postgres.
    pub fn keep_lost(&mut self, point: &FilePoint, found: &Found) {
        if let Some(lost) = Tracked::lost(point, found, &self.streams) {
            self.insert(lost);
        }
    }

    pub fn insert(&mut self, file: Tracked) {
        self.next_key += 1;
        self.files.insert(self.next_key, file);
    }

    /// The same inode starts with new content. The published part of the old content is followed until it is
    /// committed.
    pub fn truncated(&mut self, key: u64) {
        let Some(file) = self.files.get(&key) else { return };
        tracing::info!(path = %file.path.display(), read = file.reader.at(), "the log was truncated in place; reading it from its start");
        metrics::counter!(crate::metrics::TRUNCATIONS).increment(1);
        let meta = if file.listed { std::fs::metadata(&file.path).ok() } else { file.metadata() };
        let Some(meta) = meta else { return self.lose(key) };
        let found = Found { path: file.path.clone(), meta, live: file.live };
        self.restart(key, &found);
    }

    fn restart(&mut self, key: u64, found: &Found) {
        let Some(file) = self.files.get_mut(&key) else { return };
        let same = (found.meta.dev(), found.meta.ino()) == (file.device, file.inode);
        let mut new = Tracked::new(found, file.generation + 1);
        if !file.listed {
            // It has no name that could be opened: use its descriptor.
            (new.listed, new.unlisted_since, new.real) = (false, file.unlisted_since, file.real.clone());
            new.input = file.input.as_ref().and_then(|input| input.again().ok());
            new.compressed = new.input.as_ref().is_some_and(Input::compressed);
        }
        self.lose(key);
        if same {
            self.insert(new);
        }
    }

    /// The bytes of this file can no longer be read. Their published part is followed until it is
    /// committed.
    pub fn lose(&mut self, key: u64) {
        self.dirty = true;
        let Some(file) = self.files.get_mut(&key) else { return };
        let (start, end) =
            (file.reader.unfinished().unwrap_or(file.reader.at()), file.extent.max(file.reader.at()));
        if !file.compressed && end > start && !file.gone {
            file.lost = Some((end, Instant::now()));
        }
        if file.segments.is_empty() && file.lost.is_none() {
            self.files.remove(&key);
        } else {
            file.become_gone();
        }
    }

    /// Whether an existing file starts with the same line and is at least as long. `copytruncate` and
    /// compression make such copies.
    pub fn is_copied(&self, key: u64) -> bool {
        let Some(lost) = self.files.get(&key) else { return false };
        let Some((_, fingerprint)) = lost.identity else { return false };
        let copy = |file: &Tracked| {
            let same = file.identity.is_some_and(|(_, other)| other == fingerprint);
            !file.gone && same && (file.compressed || file.extent >= lost.extent)
        };
        self.files.iter().any(|(other, file)| *other != key && copy(file))
    }
}

/// Whether the file name says that the file is compressed.
fn is_archive(found: &Found) -> bool {
    found
        .path
        .extension()
        .is_some_and(|end| ["gz", "bz2", "zst"].iter().any(|known| end.eq_ignore_ascii_case(known)))
}
