//! A separate line splitter, because `verify` must not rely on the loader's.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
};

use events::MAX_LINE;

/// A line as it is in the file.
#[derive(Debug)]
pub(super) struct Line {
    /// Without NUL bytes and the newline; at most `MAX_LINE` + 1 bytes.
    pub bytes: Vec<u8>,
    /// Offset of its first byte that is not NUL.
    pub offset: u64,
    /// Number of bytes from `offset` to the end of the newline.
    pub length: u64,
    /// Number of NUL bytes before it.
    pub leading: u64,
    /// BLAKE3 of the line without NUL bytes and newline.
    pub hash: [u8; 32],
    /// Whether it ends with a newline.
    pub ended: bool,
}

impl Line {
    /// The line without the carriage returns of a CRLF line end. Since version 2 of the repair they are not
    /// part of an event.
    pub fn text(&self) -> &[u8] {
        let mut text = &self.bytes[..];
        while let Some(rest) = text.strip_suffix(b"\r") {
            text = rest;
        }
        text
    }

    /// Whether it has only white space and NUL bytes.
    pub fn is_blank(&self) -> bool {
        self.bytes.iter().all(u8::is_ascii_whitespace)
    }
}

/// Reads the lines of a plain or compressed file one by one, in bounded memory.
pub(super) struct Lines {
    input: BufReader<loader::Input>,
    offset: u64,
}

impl Lines {
    /// Reads an open file from its start.
    pub fn of(file: File) -> io::Result<Self> {
        Ok(Self { input: BufReader::with_capacity(1 << 16, loader::Input::of(file)?), offset: 0 })
    }

    /// Whether nothing will be appended to the file. An archive that is cut off may still be being copied.
    pub fn closed(&self) -> bool {
        self.input.get_ref().compressed() && self.damage().is_none()
    }

    /// Why an archive could be read only in part; known after the last line.
    pub fn damage(&self) -> Option<&str> {
        self.input.get_ref().damage()
    }

    /// The next line; `None` at the end.
    pub fn next(&mut self) -> io::Result<Option<Line>> {
        let mut line = Line {
            bytes: Vec::new(),
            offset: self.offset,
            length: 0,
            leading: 0,
            hash: [0; 32],
            ended: false,
        };
        let mut hasher = blake3::Hasher::new();
        let mut started = false;
        while !line.ended {
            let buffer = self.input.fill_buf()?;
            if buffer.is_empty() {
                break;
            }
            let newline = memchr::memchr(b'\n', buffer);
            let (part, used) = newline.map_or((buffer, buffer.len()), |at| (&buffer[..at], at + 1));
            line.ended = newline.is_some();
            let skipped = if started { 0 } else { part.iter().take_while(|&&b| b == 0).count() };
            line.leading += skipped as u64;
            line.length += (used - skipped) as u64;
            for run in part[skipped..].split(|&b| b == 0) {
                started |= !run.is_empty();
                hasher.update(run);
                let room = (MAX_LINE + 1).saturating_sub(line.bytes.len());
                line.bytes.extend_from_slice(&run[..run.len().min(room)]);
            }
            let only_nul = newline.is_none() && part.iter().all(|&byte| byte == 0);
            self.offset += used as u64;
            self.input.consume(used);
            if only_nul {
                let hole = self.input.get_mut().skip_hole()?;
                self.offset += hole;
                *(if started { &mut line.length } else { &mut line.leading }) += hole;
            }
        }
        if line.length == 0 && line.leading == 0 {
            return Ok(None);
        }
        line.offset += line.leading;
        line.hash = *hasher.finalize().as_bytes();
        Ok(Some(line))
    }
}
