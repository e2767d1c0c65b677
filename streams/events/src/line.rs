//! Splits a log into lines, whatever Cowrie, `copytruncate` or a power loss did to it.
//!
//! **Invariant**: every byte belongs to exactly one item, in order. The result does not depend on how the
//! bytes were cut into chunks, except that long runs of NUL bytes may be cut differently. Memory is bounded
//! by [`MAX_LINE`], however long a line or a run of NUL bytes is.

use crate::{MAX_DEAD_BODY, MAX_LINE};

/// A part of the log; offsets are bytes of the (decompressed) stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Item {
    /// A line that may be an event.
    Line {
        /// Without newline and NUL bytes.
        bytes: Vec<u8>,
        /// Offset of the first byte that is not NUL.
        start: u64,
        /// Offset after the newline.
        end: u64,
    },
    /// A line longer than [`MAX_LINE`].
    TooLong {
        /// The first [`MAX_DEAD_BODY`] bytes.
        body: Vec<u8>,
        /// Length without newline and NUL bytes.
        length: u64,
        /// BLAKE3 of the whole line without newline and NUL bytes.
        hash: [u8; 32],
        /// Offset of the first byte that is not NUL.
        start: u64,
        end: u64,
    },
    /// NUL bytes before a line, or a blank line.
    Skipped { start: u64, end: u64 },
}

impl Item {
    /// Offset of the first byte.
    pub fn start(&self) -> u64 {
        match self {
            Self::Line { start, .. } | Self::TooLong { start, .. } | Self::Skipped { start, .. } => *start,
        }
    }

    /// Offset after the last byte.
    pub fn end(&self) -> u64 {
        match self {
            Self::Line { end, .. } | Self::TooLong { end, .. } | Self::Skipped { end, .. } => *end,
        }
    }
}

/// Takes chunks of bytes and returns items.
#[derive(Debug)]
pub struct LineReader {
    at: u64,
    /// Where the unfinished line starts, if there is one.
    start: Option<u64>,
    buffer: Vec<u8>,
    long: Option<Box<Long>>,
}

/// A line that is longer than the buffer may become.
#[derive(Debug)]
struct Long {
    hasher: blake3::Hasher,
    length: u64,
}

impl LineReader {
    /// Starts at an offset where a line starts.
    pub fn new(at: u64) -> Self {
        Self { at, start: None, buffer: Vec::new(), long: None }
    }

    /// The offset of the next byte to be fed.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Where the unfinished line starts; `None` between lines.
    pub fn unfinished(&self) -> Option<u64> {
        self.start
    }

    /// The unfinished line so far, without NUL bytes; only its head if it is too long.
    pub fn partial(&self) -> &[u8] {
        &self.buffer
    }

    /// Consumes the front of `chunk` until an item is complete; `None` when the chunk is used up.
    pub fn next(&mut self, chunk: &mut &[u8]) -> Option<Item> {
        while !chunk.is_empty() {
            if self.start.is_none() {
                let nuls = chunk.iter().position(|&b| b != 0).unwrap_or(chunk.len());
                if nuls > 0 {
                    let start = self.at;
                    self.advance(chunk, nuls);
                    return Some(Item::Skipped { start, end: self.at });
                }
                self.start = Some(self.at);
            }
            let newline = memchr::memchr(b'\n', chunk);
            let length = newline.unwrap_or(chunk.len());
            self.keep(&chunk[..length]);
            self.advance(chunk, newline.map_or(length, |at| at + 1));
            if newline.is_some() {
                return self.complete();
            }
        }
        None
    }

    /// Skips `count` NUL bytes that were not read: a hole of a sparse file. Within a line they are dropped,
    /// as in [`next`](Self::next).
    pub fn skip_nul(&mut self, count: u64) -> Option<Item> {
        let start = self.at;
        self.at += count;
        (self.start.is_none() && count > 0).then_some(Item::Skipped { start, end: self.at })
    }

    /// Ends the log: the bytes after the last newline become a line, too.
    pub fn finish(&mut self) -> Option<Item> {
        self.complete()
    }

    fn advance(&mut self, chunk: &mut &[u8], by: usize) {
        *chunk = &chunk[by..];
        self.at += by as u64;
    }

    /// Appends to the unfinished line, without NUL bytes.
    fn keep(&mut self, part: &[u8]) {
        let mut rest = part;
        while !rest.is_empty() {
            let nul = memchr::memchr(0, rest);
            let (run, behind) = nul.map_or((rest, &rest[..0]), |at| (&rest[..at], &rest[at + 1..]));
            rest = behind;
            if self.long.is_none() && self.buffer.len() + run.len() > MAX_LINE {
                let mut hasher = blake3::Hasher::new();
                hasher.update(&self.buffer);
                self.long = Some(Box::new(Long { hasher, length: self.buffer.len() as u64 }));
            }
            let room = match &mut self.long {
                None => run.len(),
                Some(long) => {
                    long.hasher.update(run);
                    long.length += run.len() as u64;
                    MAX_DEAD_BODY.saturating_sub(self.buffer.len())
                }
            };
            self.buffer.extend_from_slice(&run[..run.len().min(room)]);
        }
    }

    fn complete(&mut self) -> Option<Item> {
        let (start, end) = (self.start.take()?, self.at);
        let mut bytes = std::mem::take(&mut self.buffer);
        if let Some(long) = self.long.take() {
            bytes.truncate(MAX_DEAD_BODY);
            bytes.shrink_to_fit();
            return Some(Item::TooLong {
                body: bytes,
                length: long.length,
                hash: *long.hasher.finalize().as_bytes(),
                start,
                end,
            });
        }
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Some(Item::Skipped { start, end });
        }
        Some(Item::Line { bytes, start, end })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_skipped_hole_is_like_nul_bytes() {
        let log = [&b"ab\n"[..], &[0; 1000], b"cd", &[0; 500], b"ef\n", &[0; 70]].concat();
        let mut reader = LineReader::new(0);
        let mut items = Vec::new();
        for (text, hole) in [("ab\n", 1000), ("cd", 500), ("ef\n", 70)] {
            let mut chunk = text.as_bytes();
            while let Some(item) = reader.next(&mut chunk) {
                items.push(item);
            }
            items.extend(reader.skip_nul(hole));
        }
        assert_eq!(items, read(&log, log.len()));
    }

    fn read(log: &[u8], chunk: usize) -> Vec<Item> {
        let mut reader = LineReader::new(0);
        let mut items = Vec::new();
        for mut chunk in log.chunks(chunk.max(1)) {
            while let Some(item) = reader.next(&mut chunk) {
                items.push(item);
            }
        }
        items.extend(reader.finish());
        items
    }

    /// Merges adjacent skipped runs.
    fn joined(items: Vec<Item>) -> Vec<Item> {
        let mut out = Vec::<Item>::new();
        for item in items {
            if let (Some(Item::Skipped { end, .. }), Item::Skipped { end: to, .. }) = (out.last_mut(), &item)
            {
                *end = *to;
            } else {
                out.push(item);
            }
        }
        out
    }

    fn line(text: &str, start: u64, end: u64) -> Item {
        Item::Line { bytes: text.into(), start, end }
    }

    #[test]
    fn holes_and_blank_lines_are_skipped_and_lines_are_exact() {
        let log = b"\0\0\0{a}\r\n\n \0\t\n{\0b}\n\0\0{c}";
        let expected = [
            Item::Skipped { start: 0, end: 3 },
            line("{a}\r", 3, 8),
            Item::Skipped { start: 8, end: 13 },
            line("{b}", 13, 18),
            Item::Skipped { start: 18, end: 20 },
            line("{c}", 20, 23),
        ];
        for chunk in 1..=log.len() {
            assert_eq!(joined(read(log, chunk)), expected, "chunks of {chunk}");
        }
    }

    #[test]
    fn the_longest_line_is_a_line_and_a_longer_one_keeps_its_head_and_hash() {
        let fits = vec![b'x'; MAX_LINE];
        assert_eq!(read(&fits, 70_000), [Item::Line { bytes: fits.clone(), start: 0, end: MAX_LINE as u64 }]);
        let log = vec![b'y'; MAX_LINE + 1];
        let Some(Item::TooLong { body, length, hash, .. }) = read(&log, 70_000).pop() else {
            panic!("expected a long line")
        };
        assert_eq!((body.len(), length), (MAX_DEAD_BODY, log.len() as u64));
        assert_eq!(hash, *blake3::hash(&log).as_bytes());
    }

    proptest! {
        #[test]
        fn every_byte_is_in_one_item_whatever_the_chunks(
            log in prop::collection::vec(prop_oneof![4 => Just(b'a'), 2 => Just(b'\n'), 2 => Just(0), 1 => Just(b' '), 1 => any::<u8>()], 0..400),
            chunk in 1..64usize,
        ) {
            let items = read(&log, chunk);
            let mut at = 0;
            for item in &items {
                let start = match item { Item::Line { start, .. } | Item::TooLong { start, .. } | Item::Skipped { start, .. } => *start };
                prop_assert_eq!(start, at);
                at = item.end();
            }
            prop_assert_eq!(at, log.len() as u64);
            prop_assert_eq!(joined(items), joined(read(&log, log.len())));
        }
    }
}
