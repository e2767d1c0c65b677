//! Stitches an event that Cowrie split at midnight: its beginning ends one log, its end starts the next one.
//! The part that is read first looks for the other one in the files written just before or after, and
//! publishes the event for both. The part that is read later finds its bytes committed, or publishes the same
//! event again.

use std::io::{self, Read as _};

use events::{FileId, LineReader, MAX_LINE, line::Item, repair};

use super::{FileKey, Files};
use crate::{
    file::{LogFile, content, is_nul},
    input::Input,
};

/// Archives that are decompressed to find their last line, at most.
const ARCHIVES: usize = 2;

/// A whole event, and the bytes of the neighbouring file that are part of it.
pub(crate) type Stitched = (Vec<u8>, (FileId, u64, u64));

impl Files {
    /// Returns the event that ends with `tail`, the first line of a file.
    pub fn find_head(&mut self, key: FileKey, tail: &[u8]) -> Option<Stitched> {
        let mut archives = ARCHIVES;
        for other in self.written_before(key) {
            let file = self.get_mut(other)?;
            let head = match file.open_separately().and_then(|input| open_end(input, &mut archives)) {
                Ok(head) => head,
                Err(error) => {
                    tracing::debug!(path = %file.path().display(), %error, "could not read the end of a log");
                    continue;
                }
            };
            let Some(Item::Line { bytes, start, end }) = head else { continue };
            if let Some(line) = repair::stitched(&bytes, tail) {
                let first = file.first_line().ok().flatten()?;
                return Some((line, (file.identify(&first)?, start, end)));
            }
        }
        None
    }

    /// Returns the event that starts with `head`, the unfinished last line of a file.
    pub fn find_tail(&mut self, key: FileKey, head: &[u8]) -> Option<Stitched> {
        for other in self.written_after(key) {
            let file = self.get_mut(other)?;
            let Ok(Some(first)) = file.first_line() else { continue };
            if let Some(line) = repair::stitched(head, content(&first)) {
                return Some((line, (file.identify(&first)?, 0, first.end())));
            }
        }
        None
    }

    /// Files last written before this one, latest first. Renaming and compressing keep the modification time.
    /// If the parts of two files fit, the file closer in time is right.
    fn written_before(&self, key: FileKey) -> Vec<FileKey> {
        let Some(mine) = self.get(key).map(LogFile::modified_ns) else { return Vec::new() };
        let mut others = self.others(key);
        others.retain(|(at, _)| *at <= mine);
        others.sort_by(|a, b| b.cmp(a));
        others.into_iter().map(|(_, key)| key).collect()
    }

    /// Files last written after this one, earliest first.
    fn written_after(&self, key: FileKey) -> Vec<FileKey> {
        let Some(mine) = self.get(key).map(LogFile::modified_ns) else { return Vec::new() };
        let mut others = self.others(key);
        others.retain(|(at, _)| *at >= mine);
        others.sort();
        others.into_iter().map(|(_, key)| key).collect()
    }

    /// The other files that can be read, with their modification times.
    fn others(&self, but: FileKey) -> Vec<(i128, FileKey)> {
        let others = self.iter().filter(|(key, file)| *key != but && !file.fate().is_gone());
        others.map(|(key, file)| (file.modified_ns(), key)).collect()
    }
}

/// The bytes after the last newline. At most `archives` archives are decompressed for this.
fn open_end(mut input: Input, archives: &mut usize) -> io::Result<Option<Item>> {
    if input.compressed() {
        let left = *archives > 0;
        *archives = archives.saturating_sub(1);
        return if left { last_item(&mut input, 0) } else { Ok(None) };
    }
    let size = input.metadata()?.len();
    let mut last = [0];
    if size == 0 || input.read_at(&mut last, size - 1)? == 0 || last[0] == b'\n' {
        return Ok(None);
    }
    // A longer line is not an event.
    let mut bytes = vec![0; MAX_LINE.min(usize::try_from(size).unwrap_or(MAX_LINE))];
    let from = size - bytes.len() as u64;
    let read = input.read_at(&mut bytes, from)?;
    let Some(newline) = memchr::memrchr(b'\n', &bytes[..read]) else {
        return if from == 0 { last_item(&mut input, 0) } else { Ok(None) };
    };
    last_item(&mut input, from + newline as u64 + 1)
}

/// The bytes after the last newline; `from` is an offset where a line starts.
fn last_item(input: &mut Input, from: u64) -> io::Result<Option<Item>> {
    input.go_to(from)?;
    let mut reader = LineReader::new(from);
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = input.read(&mut buffer)?;
        if read == 0 {
            return Ok(reader.finish().filter(|item| matches!(item, Item::Line { .. })));
        }
        let mut chunk = &buffer[..read];
        while reader.next(&mut chunk).is_some() {}
        if is_nul(&buffer[..read]) {
            reader.skip_nul(input.skip_hole()?);
        }
    }
}
