//! Opens a file, and checks whether it is still the one that was read.

use std::{fs::Metadata, io, path::Path};

use events::{Fingerprint, LineReader, SensorId, line::Item};

use super::{
    LogFile,
    content::{content, line_at, same_content, still_holds},
};
use crate::{checkpoint::Stamp, input::Input};

/// When a file is new, its first line is searched within this many bytes.
const FIRST_LINE_BYTES: u64 = 256 * 1024;

impl LogFile {
    /// Opens the file at the offset where reading continues, unless it is open.
    pub fn open(&mut self) -> io::Result<()> {
        if !self.reading.is_open() {
            self.reading.open(self.identity.open()?)?;
            self.identity.announce_again();
        }
        Ok(())
    }

    pub fn close(&mut self) {
        self.reading.close();
    }

    /// Opens a new file, and takes its identity from its first line if that is complete. From then on the
    /// file is known, whatever happens to its name.
    pub fn open_and_identify(&mut self) -> io::Result<()> {
        self.open()?;
        let (mut reader, mut buffer, mut at) = (LineReader::new(0), vec![0; 1 << 14], 0);
        while at < FIRST_LINE_BYTES && self.identity.id().is_none() && !self.reading.is_archive() {
            let read = self.reading.input_mut()?.read_at(&mut buffer, at)?;
            at += read as u64;
            let mut chunk = &buffer[..read];
            while let Some(item) = reader.next(&mut chunk) {
                if self.identify(&item).is_some() {
                    return Ok(());
                }
            }
            if read == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Opens the file at its start with a descriptor of its own, so that the position of reading does not
    /// move.
    pub fn open_separately(&self) -> io::Result<Input> {
        // Via the open descriptor: another file may have the name now.
        let again = self.reading.input().and_then(|input| input.again().ok());
        again.map_or_else(|| self.identity.open(), Ok)
    }

    pub fn first_line(&self) -> io::Result<Option<Item>> {
        line_at(&mut self.open_separately()?, 0)
    }

    /// The file's metadata, by its descriptor or its paths; `None` when neither leads to it.
    pub fn metadata(&self) -> Option<Metadata> {
        match self.reading.input() {
            Some(input) => input.metadata().ok(),
            None => self.identity.metadata(),
        }
    }

    /// The current modification time.
    pub fn modified_ns(&self) -> i128 {
        self.metadata().map_or(self.disk.stamp(), |meta| Stamp::of(&meta)).mtime_ns
    }

    /// Whether the file at `path` is this one: same inode and same content. The inode alone is not enough,
    /// because the inode of a deleted file is reused.
    pub fn is_at(&self, path: &Path, sensor: &SensorId) -> bool {
        let Some(point) = self.point() else { return false };
        let same = self.identity.open_at(path).and_then(|mut input| same_content(&mut input, &point, sensor));
        same.unwrap_or(false)
    }

    /// Whether the file was truncated in place and rewritten, even if no scan saw it truncated: it is shorter
    /// than what was read of it, or holds something else where the last line was. NUL bytes there do not
    /// count: `copytruncate` leaves them when the writer keeps its offset.
    pub fn was_rewritten(&mut self, sensor: &SensorId) -> io::Result<bool> {
        self.open()?;
        if self.was_truncated() {
            return Ok(true);
        }
        if !self.reading.take_verify() {
            return Ok(false);
        }
        if !self.reading.unfinished_is_unchanged()? {
            return Ok(true);
        }
        let (last, fingerprint) = (self.progress.last_line(), self.identity.fingerprint());
        let input = self.reading.input_mut()?;
        let same = match (last, fingerprint) {
            (Some(last), _) => still_holds(input, &last, sensor)?,
            (None, None) => true,
            (None, Some(fingerprint)) => {
                line_at(input, 0)?.is_some_and(|item| Fingerprint::of(content(&item)) == fingerprint)
            }
        };
        self.reading.go_back()?;
        Ok(!same)
    }

    /// Whether the file is shorter than what was read: it was truncated in place.
    pub fn was_truncated(&self) -> bool {
        if self.reading.is_archive() || self.fate.is_gone() {
            return false;
        }
        let open = self.reading.input().and_then(|input| input.metadata().ok());
        open.map_or(self.disk.size(), |meta| meta.len()) < self.reading.offset()
    }
}
