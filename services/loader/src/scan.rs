//! Looking at the directory: new files, renamed ones, truncated ones, those that went away.

use std::{
    os::unix::fs::MetadataExt,
    path::PathBuf,
    time::{Duration, Instant},
};

use crate::{
    checkpoint::{FilePoint, Stamp},
    logs::{self, Found},
    tailer::Tailer,
    tracked::Tracked,
};

/// A file that no scan found for this long has gone: a scan may miss one that is being renamed.
const RENAME_TIME: Duration = Duration::from_secs(3);
/// Two scans are at least this far apart, however often the system tells of changes.
const SCAN_GAP: Duration = Duration::from_millis(100);
/// An archive is read when it has not changed for this long: it may still be written.
const ARCHIVE_AGE: Duration = Duration::from_secs(5);
/// A file that is listed no more is followed until it was quiet for this long.
const FORGET_AFTER: Duration = Duration::from_secs(60);

impl Tailer {
    /// The system told of a change: open files may have grown, and names may have changed.
    pub fn look_again(&mut self) -> anyhow::Result<()> {
        if self.scanned.elapsed() >= SCAN_GAP {
            return self.scan();
        }
        for file in self.files.values_mut().filter(|file| file.input.is_some() && !file.compressed) {
            file.ready = true;
        }
        Ok(())
    }

    /// Compares what is on disk with what is followed.
    pub fn scan(&mut self) -> anyhow::Result<()> {
        self.scanned = Instant::now();
        self.files.values_mut().for_each(|file| file.listed = false);
        for found in logs::discover(&self.patterns)? {
            let followed = self.files.iter_mut().find(|(_, file)| !file.gone && (file.device, file.inode) == (found.meta.dev(), found.meta.ino()));
            match followed {
                Some((&key, _)) => self.seen(key, &found),
                None => self.add(&found),
            }
        }
        self.follow_unlisted();
        self.total();
        Ok(())
    }

    /// A file that is followed, as it is now.
    fn seen(&mut self, key: u64, found: &Found) {
        let Some(file) = self.files.get_mut(&key) else { return };
        if file.path != found.path {
            tracing::info!(from = %file.path.display(), to = %found.path.display(), "the log was renamed");
            file.path = found.path.clone();
            file.real = std::fs::canonicalize(&found.path).unwrap_or_else(|_| found.path.clone());
            // Told again with the next message.
            file.announced = false;
        }
        (file.listed, file.live, file.unlisted_since) = (true, found.live, None);
        file.ready |= file.trouble.is_some();
        let stamp = Stamp::of(&found.meta);
        if stamp != file.stamp {
            file.stamp = stamp;
            file.extent = file.extent.max(stamp.size);
            file.complete = None;
            if file.compressed {
                // An archive that changed is another archive.
                self.restart(key, found);
                return;
            }
            file.ready = true;
        }
        if self.files.get(&key).is_some_and(Tracked::was_truncated) {
            self.truncated(key);
        }
    }

    /// A file that is not followed yet.
    fn add(&mut self, found: &Found) {
        let archive = found.path.extension().is_some_and(|end| ["gz", "bz2", "zst"].iter().any(|known| end == *known));
        let age = found.meta.modified().ok().and_then(|at| at.elapsed().ok()).unwrap_or_default();
        if archive && !self.once && age < ARCHIVE_AGE {
            return;
        }
        let known = self.known.iter().position(|point| !point.gone && (point.device, point.inode) == (found.meta.dev(), found.meta.ino()));
        let file = match known.map(|at| self.known.swap_remove(at)) {
            None => Tracked::new(found, 0),
            Some(point) => {
                let file = Tracked::resume(found, &point, &self.sensor);
                if file.generation != point.generation {
                    self.keep_lost(&point, found);
                }
                file
            }
        };
        self.insert(file);
    }

    /// What the checkpoint knows of bytes that are no longer there may still be on its way to Postgres.
    fn keep_lost(&mut self, point: &FilePoint, found: &Found) {
        if let Some(lost) = Tracked::lost(point, found, &self.streams) {
            self.insert(lost);
        }
    }

    /// After the first scan: files of the checkpoint that are nowhere.
    pub fn keep_all_lost(&mut self) -> anyhow::Result<()> {
        let Some(any) = logs::discover(&self.patterns)?.into_iter().next() else { return Ok(()) };
        for point in std::mem::take(&mut self.known) {
            match self.out_of_sight(&point) {
                Some(file) => self.insert(file),
                None => self.keep_lost(&point, &any),
            }
        }
        Ok(())
    }

    /// A file that no pattern finds any more, and that lies where it lay: a symbolic link names another file now.
    fn out_of_sight(&self, point: &FilePoint) -> Option<Tracked> {
        let path = PathBuf::from(&point.real_path);
        let meta = std::fs::metadata(&path).ok()?;
        if point.gone || (meta.dev(), meta.ino()) != (point.device, point.inode) {
            return None;
        }
        let mut file = Tracked::resume(&Found { path, meta, live: false }, point, &self.sensor);
        file.open().ok()?;
        (file.generation == point.generation).then_some(file)
    }

    fn insert(&mut self, file: Tracked) {
        self.next_key += 1;
        self.files.insert(self.next_key, file);
    }

    /// The same inode starts anew: what was published of the old content is followed until it is committed.
    pub fn truncated(&mut self, key: u64) {
        let Some(file) = self.files.get(&key) else { return };
        tracing::info!(path = %file.path.display(), read = file.reader.at(), "the log was truncated in place: reading it from its start");
        metrics::counter!("cowriestream_loader_truncations_total").increment(1);
        let Ok(meta) = std::fs::metadata(&file.path) else { return self.lose(key) };
        let found = Found { path: file.path.clone(), meta, live: file.live };
        self.restart(key, &found);
    }

    fn restart(&mut self, key: u64, found: &Found) {
        let Some(generation) = self.files.get(&key).map(|file| file.generation + 1) else { return };
        self.lose(key);
        if (found.meta.dev(), found.meta.ino()) == self.files.get(&key).map_or((found.meta.dev(), found.meta.ino()), |file| (file.device, file.inode)) {
            self.insert(Tracked::new(found, generation));
        }
    }

    /// The bytes of this file can no longer be read; what was published of them is followed until it is committed.
    pub fn lose(&mut self, key: u64) {
        self.dirty = true;
        let Some(file) = self.files.get_mut(&key) else { return };
        let (start, end) = (file.reader.unfinished().unwrap_or(file.reader.at()), file.extent.max(file.reader.at()));
        if !file.compressed && end > start && !file.gone {
            file.lost = Some((end, Instant::now()));
        }
        if file.segments.is_empty() && file.lost.is_none() {
            self.files.remove(&key);
        } else {
            file.become_gone();
        }
    }

    /// Renamed out of sight, or deleted: read on while it is open.
    fn follow_unlisted(&mut self) {
        let mut lost = Vec::new();
        for (&key, file) in self.files.iter_mut().filter(|(_, file)| !file.listed && !file.gone) {
            file.live = false;
            let unlisted = file.unlisted_since.get_or_insert_with(Instant::now).elapsed();
            let Some(stamp) = file.input.as_ref().and_then(|input| input.metadata().ok()).map(|meta| Stamp::of(&meta)) else {
                if unlisted >= RENAME_TIME {
                    lost.push(key);
                }
                continue;
            };
            if stamp != file.stamp {
                file.stamp = stamp;
                file.extent = file.extent.max(stamp.size);
                file.complete = None;
                file.ready = true;
            }
            let quiet = file.quiet_since.is_some_and(|since| since.elapsed() > FORGET_AFTER);
            if file.complete.is_some() && quiet {
                lost.push(key);
            }
        }
        lost.into_iter().for_each(|key| self.lose(key));
        // A file that was lost is forgotten once what was published of it is committed.
        self.files.retain(|_, file| !(file.gone && file.segments.is_empty() && file.lost.is_none()));
    }

    /// Whether a file that is there begins with the same line and is as long: what `copytruncate` and compression make.
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
