//! Compares the content of a file with what was read of it before.

use std::io::{self, Read as _};

use events::{EventId, Fingerprint, LineReader, MAX_LINE, SensorId, line::Item};

use crate::{
    checkpoint::{FilePoint, LastLine},
    input::Input,
};

/// Whether the file still has the first line and the last committed line of the checkpoint.
pub(super) fn same_content(input: &mut Input, point: &FilePoint, sensor: &SensorId) -> io::Result<bool> {
    let Some(first) = line_at(input, 0)? else { return Ok(false) };
    let same_first = Fingerprint::of(content(&first)) == point.fingerprint;
    let Some(last) = point.last_line else { return Ok(same_first) };
    // The first line may have been taken without its newline and continued since.
    if !same_first && (input.compressed() || last.start != first.start()) {
        return Ok(false);
    }
    if !input.compressed() {
        return still_holds(input, &last, sensor);
    }
    let found = line_at(input, last.start)?;
    Ok(found.is_some_and(|item| item.end() == last.end && EventId::of(sensor, content(&item)) == last.hash))
}

/// Whether the last line is still where it was. NUL bytes there do not count as a change: `copytruncate`
/// leaves them when the writer keeps its offset.
pub(super) fn still_holds(input: &Input, last: &LastLine, sensor: &SensorId) -> io::Result<bool> {
    let length = usize::try_from(last.end - last.start).unwrap_or(usize::MAX);
    // A longer line is not worth reading again.
    if length > MAX_LINE {
        return Ok(true);
    }
    let mut bytes = vec![0; length];
    let read = input.read_at(&mut bytes, last.start)?;
    let mut chunk = &bytes[..read];
    if is_nul(chunk) {
        return Ok(true);
    }
    let mut reader = LineReader::new(last.start);
    let line = reader.next(&mut chunk).or_else(|| reader.finish());
    Ok(line.is_some_and(|item| item.end() == last.end && EventId::of(sensor, content(&item)) == last.hash))
}

/// Whether all bytes are NUL: a hole of a sparse file may begin here.
pub(crate) fn is_nul(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| byte == 0)
}

/// The bytes that identify an item: its line, or the head of a line that is too long.
pub(crate) fn content(item: &Item) -> &[u8] {
    match item {
        Item::Line { bytes, .. } => bytes,
        Item::TooLong { body, .. } => body,
        Item::Skipped { .. } => &[],
    }
}

/// The first line at or after `offset`, where a line starts.
pub(super) fn line_at(input: &mut Input, offset: u64) -> io::Result<Option<Item>> {
    input.go_to(offset)?;
    let mut reader = LineReader::new(offset);
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = input.read(&mut buffer)?;
        let mut chunk = &buffer[..read];
        while let Some(item) = reader.next(&mut chunk) {
            if !matches!(item, Item::Skipped { .. }) {
                return Ok(Some(item));
            }
        }
        if read > 0 && is_nul(&buffer[..read]) {
            reader.skip_nul(input.skip_hole()?);
        }
        if read == 0 {
            return Ok(reader.finish().filter(|item| !matches!(item, Item::Skipped { .. })));
        }
    }
}
