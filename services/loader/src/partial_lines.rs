//! PartialLine lines. When a rotated file has not grown for a while, its last line is taken without its newline. If
//! the line is continued later (a slow copy, a paused container), it is read again from its start, and the
//! result replaces the dead letter of the half line.

use std::{io, os::unix::fs::MetadataExt};

use events::{DeadId, Envelope, FileId, Fingerprint, LineReader, MAX_LINE, Unusable, line::Item};

use crate::{
    input::Input,
    pieces::{Covered, Piece, What},
    statistics::Tally,
    tailer::Tailer,
    tracked::{Tracked, content, line_at},
};

/// The last line of a file, taken without its newline.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PartialLine {
    pub start: u64,
    pub end: u64,
    /// The dead letter that the end of the half line became, if any.
    pub dead: Option<DeadId>,
    /// What the statistics counted for it.
    pub tally: Tally,
}

impl PartialLine {
    pub fn of(start: u64, end: u64, pieces: &[Piece], tally: Tally) -> Self {
        let dead = pieces.last().and_then(|piece| match &piece.what {
            What::Dead(dead) => Some(dead.id()),
            What::Event { .. } => None,
        });
        Self { start, end, dead, tally }
    }

    /// The dead letter that this piece of the whole line replaces: only the piece that extends beyond the
    /// half line replaces it.
    pub fn replaced_by(&self, piece: &Piece) -> Option<DeadId> {
        let id = match &piece.what {
            What::Dead(dead) => Some(dead.id()),
            What::Event { .. } => None,
        };
        self.dead.filter(|dead| piece.start < self.end && self.end < piece.end && id != Some(*dead))
    }
}

impl Tailer {
    /// If a line that was taken without its newline is continued, goes back to its start. Returns false if
    /// that must wait: the dead letter of the half line must be stored before another message can replace it.
    pub fn rejoin(&mut self, key: u64) -> io::Result<bool> {
        let Some(file) = self.files.get_mut(&key) else { return Ok(true) };
        let Some(start) = file.partial_line_before()? else { return Ok(true) };
        let end = file.reader.at();
        if file.position < end {
            (file.ready, file.waits) = (false, true);
            return Ok(false);
        }
        let (Some((id, fingerprint)), Some(input)) = (file.identity, file.input.as_mut()) else {
            return Ok(true);
        };
        let Some(half) = line_until(input, start, end)? else { return Ok(true) };
        let first = Fingerprint::of(content(&half)) == fingerprint
            && line_at(input, 0)?.is_some_and(|first| first.start() == half.start());
        input.go_to(start)?;
        tracing::info!(path = %file.path.display(), offset = start, "a line that was taken without its newline is continued; reading it again");
        // The file id was made of the half line: the file gets a new id and is read from its start.
        file.renew = first;
        let counted = file.partial_line.take().filter(|known| known.end == end);
        file.partial_line = Some(counted.unwrap_or_else(|| taken(&self.sensor, id, half, self.expand_arrays)));
        if let Some(half) = counted {
            self.statistics.uncount(&half.tally);
        }
        file.counted = start;
        file.covered = start;
        file.reader = LineReader::new(start);
        Ok(true)
    }

    /// Whether a deleted file ends with half a line that another file has at the same offset. When a file is
    /// replaced (as rsync does) while its original is being written, it ends anywhere. The line continues in
    /// the copy, which is read as well.
    pub fn partial_line_is_copied(&self, key: u64) -> bool {
        let Some(file) = self.files.get(&key).filter(|file| !file.listed && !file.compressed) else {
            return false;
        };
        let (Some(start), Some(input)) = (file.reader.unfinished(), &file.input) else { return false };
        let length = usize::try_from(file.reader.at() - start).unwrap_or(usize::MAX);
        if length > MAX_LINE || !input.metadata().is_ok_and(|meta| meta.nlink() == 0) {
            return false;
        }
        let Ok(half) = file.bytes_from(start, length) else { return false };
        let fingerprint = |file: &Tracked| file.identity.map(|(_, fingerprint)| fingerprint);
        let copy = |other: &Tracked| {
            let (there, same_start) = (
                other.listed || other.extent > file.reader.at(),
                start == 0 || fingerprint(other) == fingerprint(file),
            );
            !other.gone
                && !other.compressed
                && there
                && same_start
                && other.bytes_from(start, length).is_ok_and(|bytes| bytes == half)
        };
        self.files.iter().any(|(other, file)| *other != key && copy(file))
    }
}

impl Tracked {
    /// Reads up to `length` bytes at this offset.
    fn bytes_from(&self, start: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        let read = match &self.input {
            Some(input) => input.read_at(&mut bytes, start)?,
            None => self.open_from_start()?.read_at(&mut bytes, start)?,
        };
        bytes.truncate(read);
        Ok(bytes)
    }

    /// If the file continues where a line without newline was taken, returns the offset where that line
    /// starts.
    fn partial_line_before(&mut self) -> io::Result<Option<u64>> {
        let end = self.reader.at();
        if self.compressed || end == 0 || !self.left.is_empty() || self.reader.unfinished().is_some() {
            return Ok(None);
        }
        let start = match self.segments.last_line().or(self.last_line) {
            Some(last) if last.end == end => Some(last.start),
            // The offset was adopted from Postgres; the last line is not known.
            None if self.position == end => None,
            _ => return Ok(None),
        };
        let Some(input) = &self.input else { return Ok(None) };
        let mut around = [0; 2];
        // NUL bytes are what `copytruncate` leaves there.
        if input.read_at(&mut around, end - 1)? < 2 || around[0] == 0 || around.contains(&b'\n') {
            return Ok(None);
        }
        start.map_or_else(|| line_start(input, end), |start| Ok(Some(start)))
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

/// What an earlier process made of a half line.
fn taken(sensor: &events::SensorId, file: FileId, half: Item, expand_arrays: bool) -> PartialLine {
    let (start, end) = (half.start(), half.end());
    let why = match &half {
        Item::Line { bytes, .. } => Envelope::read(bytes).map_err(Some),
        Item::TooLong { .. } | Item::Skipped { .. } => Err(None),
    };
    let pieces = match why {
        Ok(_) => Vec::new(),
        Err(why) => unusable(Covered { sensor, file, start, item: half }, why, expand_arrays),
    };
    PartialLine::of(start, end, &pieces, Tally::default())
}

fn unusable(line: Covered<'_>, why: Option<Unusable>, expand_arrays: bool) -> Vec<Piece> {
    line.unusable(why, true, expand_arrays).0
}
