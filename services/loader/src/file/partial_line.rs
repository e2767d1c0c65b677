//! Partial lines. When a rotated file has not grown for a while, its last line is taken without its newline.
//! If the line is continued later (a slow copy, a paused container), it is read again from its start, and the
//! result replaces the dead letter of the partial line.

use std::io;

use events::{DeadId, Envelope, FileId, Fingerprint, LineReader, MAX_LINE, SensorId, line::Item};

use super::{
    LogFile,
    content::{content, line_at},
};
use crate::{
    input::Input,
    pieces::{Line, Piece, What},
    statistics::Tally,
};

/// The last line of a file, taken without its newline.
#[derive(Clone, Copy, Debug)]
pub(super) struct PartialLine {
    pub start: u64,
    pub end: u64,
    /// The dead letter that the end of the partial line became, if any.
    dead: Option<DeadId>,
    /// What the statistics counted for it.
    pub tally: Tally,
}

impl PartialLine {
    pub fn of(start: u64, end: u64, pieces: &[Piece], tally: Tally) -> Self {
        Self { start, end, dead: pieces.last().and_then(dead_id), tally }
    }

    /// The dead letter that this piece of the whole line replaces: only the piece that extends beyond the
    /// partial line replaces it.
    pub fn replaced_by(&self, piece: &Piece) -> Option<DeadId> {
        let id = dead_id(piece);
        self.dead.filter(|dead| piece.start < self.end && self.end < piece.end && id != Some(*dead))
    }

    /// What an earlier process made of a partial line.
    fn taken_before(sensor: &SensorId, file: FileId, line: Item, expand_arrays: bool) -> Self {
        let (start, end) = (line.start(), line.end());
        let envelope = match &line {
            Item::Line { bytes, .. } => Envelope::read(bytes).map_err(Some),
            Item::TooLong { .. } | Item::Skipped { .. } => Err(None),
        };
        let pieces = match envelope {
            Ok(_) => Vec::new(),
            Err(why) => Line { sensor, file, start, item: line }.unusable(why, true, expand_arrays).0,
        };
        Self::of(start, end, &pieces, Tally::default())
    }
}

fn dead_id(piece: &Piece) -> Option<DeadId> {
    match &piece.what {
        What::Dead(dead) => Some(dead.id()),
        What::Event(_) => None,
    }
}

/// Whether a line that was taken without its newline is continued.
pub(crate) enum Rejoin {
    No,
    /// It is, but the dead letter of the partial line must be committed before another message can replace
    /// it.
    Wait,
    /// It is, and will be read again. The tally is what the statistics counted for the partial line.
    ReadAgain(Option<Tally>),
}

impl LogFile {
    /// If a line that was taken without its newline is continued, goes back to its start.
    pub fn rejoin(&mut self, sensor: &SensorId, expand_arrays: bool) -> io::Result<Rejoin> {
        let Some(start) = self.partial_line_before()? else { return Ok(Rejoin::No) };
        let end = self.reading.offset();
        if self.progress.position() < end {
            self.reading.await_commit();
            return Ok(Rejoin::Wait);
        }
        let (Some(id), Some(fingerprint)) = (self.identity.id(), self.identity.fingerprint()) else {
            return Ok(Rejoin::No);
        };
        let input = self.reading.input_mut()?;
        let Some(partial) = line_until(input, start, end)? else { return Ok(Rejoin::No) };
        let is_first = Fingerprint::of(content(&partial)) == fingerprint
            && line_at(input, 0)?.is_some_and(|first| first.start() == partial.start());
        input.go_to(start)?;
        tracing::info!(
            path = %self.path().display(), offset = start,
            "a line that was taken without its newline is continued; reading it again"
        );
        // The file id was made of the partial line: the file gets a new id and is read from its start.
        self.identity.set_provisional(is_first);
        let taken = || PartialLine::taken_before(sensor, id, partial, expand_arrays);
        let tally = self.progress.rejoin((start, end), taken);
        self.reading.start_at(start);
        Ok(Rejoin::ReadAgain(tally))
    }

    /// If the file continues where a line without newline was taken, returns the offset where that line
    /// starts.
    fn partial_line_before(&self) -> io::Result<Option<u64>> {
        let (reading, end) = (&self.reading, self.reading.offset());
        if reading.is_archive() || end == 0 || reading.has_unparsed() || reading.unfinished().is_some() {
            return Ok(None);
        }
        let start = match self.progress.last_line() {
            Some(last) if last.end == end => Some(last.start),
            // The offset was adopted from Postgres; the last line is not known.
            None if self.progress.position() == end => None,
            _ => return Ok(None),
        };
        let Some(input) = reading.input() else { return Ok(None) };
        let mut around = [0; 2];
        // NUL bytes are what `copytruncate` leaves there.
        if input.read_at(&mut around, end - 1)? < 2 || around[0] == 0 || around.contains(&b'\n') {
            return Ok(None);
        }
        start.map_or_else(|| line_start(input, end), |start| Ok(Some(start)))
    }

    /// Reads up to `length` bytes at this offset.
    pub fn bytes_at(&self, start: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        let read = match self.reading.input() {
            Some(input) => input.read_at(&mut bytes, start)?,
            None => self.identity.open()?.read_at(&mut bytes, start)?,
        };
        bytes.truncate(read);
        Ok(bytes)
    }
}

/// Start of the line that holds the byte before `end`; `None` when the line is too long to be an event.
fn line_start(input: &Input, end: u64) -> io::Result<Option<u64>> {
    let from = end.saturating_sub(MAX_LINE as u64);
    let mut bytes = vec![0; usize::try_from(end - from).unwrap_or(MAX_LINE)];
    let read = input.read_at(&mut bytes, from)?;
    let newline = memchr::memrchr(b'\n', &bytes[..read]).map(|at| from + at as u64 + 1);
    Ok(newline.or((from == 0).then_some(0)))
}

/// The line from `start` to `end`, without newline.
fn line_until(input: &Input, start: u64, end: u64) -> io::Result<Option<Item>> {
    let (mut reader, mut buffer, mut at) = (LineReader::new(start), vec![0; 1 << 16], start);
    while at < end {
        let most = buffer.len().min(usize::try_from(end - at).unwrap_or(usize::MAX));
        let read = input.read_at(&mut buffer[..most], at)?;
        if read == 0 {
            return Ok(None);
        }
        at += read as u64;
        let mut chunk = &buffer[..read];
        while reader.next(&mut chunk).is_some() {}
    }
    Ok(reader.finish())
}
