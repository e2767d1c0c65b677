//! A file that is followed: what of it was read, published and committed.

use std::{
    fs::Metadata,
    io::{self, Read as _},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Instant,
};

use bus::Repairs;
use events::{
    Announcement, EventId, FileId, Fingerprint, LineReader, MAX_LINE, RangeSet, SensorId, line::Item,
};

use crate::{
    checkpoint::{FilePoint, LastLine, Stamp, StreamSeen},
    partial_lines::PartialLine,
    input::Input,
    logs::Found,
    segments::Segments,
};

/// When a file is new, its first line is searched within this many bytes.
const MEET_BYTES: u64 = 256 * 1024;

/// Number of bytes of an unfinished line that are compared with the file's current content.
const COMPARED: usize = 4096;

/// One generation of one inode. Each truncation starts a new generation.
pub(crate) struct Tracked {
    pub path: PathBuf,
    pub device: u64,
    pub inode: u64,
    pub generation: u32,
    /// Cowrie may be writing it under this name.
    pub live: bool,
    /// Whether the last scan found it by name.
    pub listed: bool,
    /// File id and fingerprint; known once the first line is complete.
    pub identity: Option<(FileId, Fingerprint)>,
    pub input: Option<Input>,
    pub compressed: bool,
    pub reader: LineReader,
    /// Where the next message's range starts.
    pub covered: u64,
    pub done: RangeSet,
    pub segments: Segments,
    /// The end of the committed prefix, where a line starts.
    pub position: u64,
    pub last_line: Option<LastLine>,
    /// The statistics have counted the file up to here.
    pub counted: u64,
    /// There may be something to read.
    pub ready: bool,
    /// Bytes that were read from the file but not yet passed to the reader.
    pub left: Vec<u8>,
    /// Before reading on, check that the file still holds what was read of it.
    pub verify: bool,
    /// Why it could not be read.
    pub trouble: Option<String>,
    /// It cannot be read in its current state, and is not retried until it changes.
    pub refused: bool,
    /// Why an archive could be read only in part.
    pub damage: Option<String>,
    /// Offset of the dead letter that reports the damage; `None` until it is published.
    pub damage_reported: Option<u64>,
    /// Since when a followed archive has had another size or modification time.
    pub changed: Option<Instant>,
    /// Number of lines at its start that are not JSON; `None` after the first other line.
    pub strange_lines: Option<u32>,
    /// When it was last read.
    pub used: Instant,
    /// When a scan first missed it.
    pub unlisted_since: Option<Instant>,
    /// The patterns were changed and no longer match it: it is read to its end and then forgotten.
    pub unwanted: bool,
    /// When its end was reached.
    pub quiet_since: Option<Instant>,
    /// The last line that was taken without its newline.
    pub partial_line: Option<PartialLine>,
    /// The file continues after a half line that is not committed yet. Reading resumes when that is
    /// committed.
    pub waits: bool,
    /// Its identity was made of half a first line. It gets another one when the whole line is read.
    pub renew: bool,
    /// Nothing will be appended: the last line without newline was taken.
    pub ended: bool,
    /// Its announcement was published since it was opened.
    pub announced: bool,
    /// Incremented each time messages are published again.
    pub attempts: u32,
    /// Bytes below this offset were published before. They are published again under a suffixed message id,
    /// or JetStream's duplicate window would drop them.
    pub published_before: u64,
    /// Incremented whenever reading is reset to an earlier offset. Acknowledgements of earlier epochs are
    /// ignored.
    pub epoch: u64,
    /// Size and modification time when the whole file had been committed.
    pub complete: Option<Stamp>,
    /// The bytes can no longer be read: truncated or deleted.
    pub gone: bool,
    pub repairs: Repairs,
    /// The path with symbolic links resolved.
    pub real: PathBuf,
    /// The largest size seen.
    pub extent: u64,
    /// End of the bytes that can no longer be read and were never published, and when this was noticed.
    pub lost: Option<(u64, Instant)>,
    /// Since when its bytes can no longer be read.
    pub gone_since: Option<Instant>,
    /// The gap was already logged and counted.
    pub gap_logged: bool,
    pub stamp: Stamp,
}

impl Tracked {
    /// A file that was just found.
    pub fn new(found: &Found, generation: u32) -> Self {
        Self {
            path: found.path.clone(),
            device: found.meta.dev(),
            inode: found.meta.ino(),
            generation,
            live: found.live,
            listed: true,
            identity: None,
            input: None,
            compressed: false,
            reader: LineReader::new(0),
            covered: 0,
            done: RangeSet::default(),
            segments: Segments::default(),
            position: 0,
            last_line: None,
            counted: 0,
            ready: true,
            left: Vec::new(),
            verify: true,
            trouble: None,
            refused: false,
            damage: None,
            damage_reported: None,
            changed: None,
            strange_lines: Some(0),
            used: Instant::now(),
            unlisted_since: None,
            unwanted: false,
            quiet_since: None,
            partial_line: None,
            waits: false,
            renew: false,
            ended: false,
            announced: false,
            attempts: 0,
            published_before: 0,
            epoch: 0,
            complete: None,
            gone: false,
            repairs: Repairs::default(),
            real: std::fs::canonicalize(&found.path).unwrap_or_else(|_| found.path.clone()),
            extent: found.meta.len(),
            lost: None,
            gone_since: None,
            gap_logged: false,
            stamp: Stamp::of(&found.meta),
        }
    }

    /// A file of the checkpoint. If its content is still the same, reading continues at the committed offset.
    /// Otherwise it is a new generation, read from its start.
    pub fn resume(found: &Found, point: &FilePoint, sensor: &SensorId) -> Self {
        let mut file = Self::new(found, point.generation);
        file.identity = Some((point.file_id, point.fingerprint));
        file.compressed = point.compressed;
        file.repairs = point.repairs;
        if point.complete == Some(file.stamp) {
            file.damage.clone_from(&point.damage);
            file.damage_reported = Some(point.position.saturating_sub(1));
        }
        if point.complete == Some(file.stamp) {
            file.complete = point.complete;
            file.ready = false;
            file.ended = true;
            // Bytes after the last message (blank, NUL, dropped) were read, too.
            file.extent = point.position;
            file.place(point.position, point.last_line);
            return file;
        }
        file.place(point.position, point.last_line);
        // A file that cannot be read now is checked later, when it can be read.
        let same = Input::open(&found.path).and_then(|mut input| same_content(&mut input, point, sensor));
        if same.unwrap_or(true) {
            return file;
        }
        tracing::info!(path = %found.path.display(), "the content of the file differs from the last checkpoint; reading it from the start");
        Self::new(found, point.generation + 1)
    }

    /// A file of the checkpoint whose bytes can no longer be read. Its published part may still be
    /// committed.
    pub fn lost(point: &FilePoint, found: &Found, streams: &[Option<StreamSeen>; 2]) -> Option<Self> {
        if point.published.max(point.extent) <= point.position {
            return None;
        }
        let mut file = Self::new(found, point.generation);
        file.path = point.path.clone().into();
        (file.device, file.inode) = (point.device, point.inode);
        file.identity = Some((point.file_id, point.fingerprint));
        file.place(point.position, point.last_line);
        if point.published > point.position {
            let last_line = LastLine { start: point.position, end: point.published, hash: EventId([0; 16]) };
            file.segments.add_lost(
                point.position,
                point.published,
                last_line,
                streams.map(|seen| seen.map_or(0, |seen| seen.high)),
            );
        }
        file.covered = point.published;
        file.extent = point.extent;
        file.lost = (point.extent > point.published && point.complete.is_none())
            .then(|| (point.extent, Instant::now()));
        file.become_gone();
        Some(file)
    }

    /// Called when its bytes can no longer be read.
    pub fn become_gone(&mut self) {
        self.gone = true;
        self.gone_since = Some(Instant::now());
        self.ready = false;
        self.listed = false;
        self.input = None;
    }

    fn place(&mut self, position: u64, last_line: Option<LastLine>) {
        self.position = position;
        self.strange_lines = self.strange_lines.filter(|_| position == 0);
        self.last_line = last_line;
        self.covered = position;
        self.counted = position;
        self.reader = LineReader::new(position);
        self.done.insert(0, position);
    }

    /// Opens the file at the offset where reading continues.
    pub fn open(&mut self) -> io::Result<&mut Input> {
        if self.input.is_none() {
            let mut input = self.open_from_start()?;
            self.compressed = input.compressed();
            input.go_to(self.reader.at() + self.left.len() as u64)?;
            self.announced = false;
            self.verify = true;
            self.input = Some(input);
        }
        self.input.as_mut().ok_or_else(|| io::Error::other("no input"))
    }

    /// Opens the file at its start, by its name or its last known path, if that is still the same file.
    pub fn open_from_start(&self) -> io::Result<Input> {
        self.open_at(&self.path)
            .or_else(|error| if self.real == self.path { Err(error) } else { self.open_at(&self.real) })
    }

    fn open_at(&self, path: &Path) -> io::Result<Input> {
        let input = Input::open(path)?;
        let meta = input.metadata()?;
        if (meta.dev(), meta.ino()) != (self.device, self.inode) {
            return Err(io::Error::new(io::ErrorKind::NotFound, "another file has this name now"));
        }
        Ok(input)
    }

    /// Opens a new file, and takes its identity from its first line if that is complete. From then on the
    /// file is known, whatever happens to its name.
    pub fn meet(&mut self) -> io::Result<()> {
        self.open()?;
        let (mut reader, mut buffer, mut at) = (LineReader::new(0), vec![0; 1 << 14], 0);
        while at < MEET_BYTES && self.identity.is_none() && !self.compressed {
            let read = self.open()?.read_at(&mut buffer, at)?;
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

    /// The file's metadata, by its descriptor or its names; `None` when neither leads to it.
    pub fn metadata(&self) -> Option<Metadata> {
        if let Some(input) = &self.input {
            return input.metadata().ok();
        }
        let mine = |path: &PathBuf| {
            std::fs::metadata(path).ok().filter(|meta| (meta.dev(), meta.ino()) == (self.device, self.inode))
        };
        mine(&self.path).or_else(|| mine(&self.real))
    }

    /// Whether the file at `path` is this one: same inode and same content. The inode alone is not enough,
    /// because the inode of a deleted file is reused.
    pub fn lies_at(&self, path: &Path, sensor: &SensorId) -> bool {
        let Some(point) = self.point() else { return false };
        self.open_at(path).and_then(|mut input| same_content(&mut input, &point, sensor)).unwrap_or(false)
    }

    /// Whether the file was truncated in place and rewritten, even if no scan saw it truncated: it is shorter
    /// than what was read of it, or holds something else where the last line was. NUL bytes there do not
    /// count: `copytruncate` leaves them when the writer keeps its offset.
    pub fn was_rewritten(&mut self, sensor: &SensorId) -> io::Result<bool> {
        self.open()?;
        if self.was_truncated() {
            return Ok(true);
        }
        let Some(input) =
            self.input.as_mut().filter(|_| !self.compressed && std::mem::take(&mut self.verify))
        else {
            return Ok(false);
        };
        if !still_begins(input, &self.reader)? {
            return Ok(true);
        }
        let last = self.segments.last_line().or(self.last_line);
        let same = match last {
            Some(last) => still_holds(input, &last, sensor)?,
            None => match self.identity {
                None => true,
                Some((_, fingerprint)) => {
                    line_at(input, 0)?.is_some_and(|item| Fingerprint::of(content(&item)) == fingerprint)
                }
            },
        };
        input.go_to(self.reader.at() + self.left.len() as u64)?;
        Ok(!same)
    }

    /// Whether the open file is shorter than what was read: it was truncated in place.
    pub fn was_truncated(&self) -> bool {
        if self.compressed || self.gone {
            return false;
        }
        let size = self
            .input
            .as_ref()
            .and_then(|input| input.metadata().ok())
            .map_or(self.stamp.size, |meta| meta.len());
        size < self.reader.at()
    }

    /// Returns the file id. The first line that is not blank determines it.
    pub fn identify(&mut self, item: &Item) -> Option<FileId> {
        if matches!(item, Item::Skipped { .. }) {
            return self.identity.map(|(id, _)| id);
        }
        let (device, inode, generation) = (self.device, self.inode, self.generation);
        let (id, _) = self.identity.get_or_insert_with(|| {
            let fingerprint = Fingerprint::of(content(item));
            (FileId::of(device, inode, generation, &fingerprint), fingerprint)
        });
        Some(*id)
    }

    /// The announcement that goes with the first message after the file was opened.
    pub fn announcement(&self) -> Option<Announcement> {
        let (file_id, fingerprint) = self.identity?;
        // If the file is not listed, another file may have its name now.
        let path = if self.listed { std::fs::canonicalize(&self.path).ok() } else { None }
            .unwrap_or_else(|| self.real.clone());
        Some(Announcement {
            file_id,
            path: path.to_string_lossy().into_owned(),
            device: self.device,
            inode: self.inode,
            generation: self.generation,
            fingerprint,
        })
    }

    /// Adds committed ranges and moves the committed prefix. Returns whether it moved.
    pub fn commit(&mut self, ranges: &[(u64, u64)]) -> bool {
        ranges.iter().for_each(|&(start, end)| self.done.insert(start, end));
        let Some(last) = self.segments.commit(&self.done) else { return false };
        self.position = last.end;
        self.last_line = Some(last.last_line);
        self.ready |= std::mem::take(&mut self.waits);
        true
    }

    /// Resets reading to the start of the segment that holds `offset`.
    pub fn read_again(&mut self, offset: u64) {
        if self.gone {
            return;
        }
        let from = self.segments.cut(offset).unwrap_or_else(|| offset.min(self.covered));
        self.epoch += 1;
        self.waits = false;
        self.reader = LineReader::new(from);
        self.covered = from;
        self.ready = true;
        self.ended = false;
        self.complete = None;
        self.quiet_since = None;
        self.left = Vec::new();
        self.announced = false;
        self.verify = true;
        self.damage_reported = self.damage_reported.filter(|&at| self.done.contains(at, at + 1));
        if let Some(input) = &mut self.input
            && let Err(error) = input.go_to(from)
        {
            tracing::warn!(path = %self.path.display(), %error, "could not go back in the file");
            self.input = None;
        }
    }

    /// The attempt number of a message at this offset; 0 for the first.
    pub fn attempt(&self, start: u64) -> u32 {
        if start < self.published_before { self.attempts } else { 0 }
    }

    /// Publishes everything again that is not committed.
    pub fn repeat(&mut self) {
        self.repeat_from(self.position);
    }

    /// Publishes everything again from the segment that holds `offset`.
    pub fn repeat_from(&mut self, offset: u64) {
        self.attempts += 1;
        self.published_before = self.published_before.max(self.covered);
        self.read_again(offset);
    }

    /// Postgres has less than was known here: adopts its ranges, and reads again from the first gap.
    pub fn adopt(&mut self, ranges: &[(u64, u64)]) {
        self.done = ranges.iter().copied().collect();
        self.attempts += 1;
        self.published_before = self.published_before.max(self.covered);
        self.position = self.done.first_gap().min(self.position);
        self.last_line = None;
        self.segments = Segments::default();
        self.covered = self.position;
        self.read_again(self.position);
    }

    /// Whether everything that can be read of it was read and is committed.
    pub fn is_settled(&self) -> bool {
        self.segments.is_empty()
            && self.lost.is_none()
            && (self.damage.is_none() || self.damage_reported.is_some() || self.gone)
            && (self.gone
                || self.refused
                || (!self.ready && self.quiet_since.is_some() || self.complete.is_some())
                    && self.reader.unfinished().is_none())
    }

    /// Bytes on disk that are not committed, as far as known.
    pub fn lag(&self) -> u64 {
        let read = self.reader.at();
        let uncommitted = if self.segments.is_empty() { 0 } else { read.saturating_sub(self.position) };
        uncommitted + self.unread()
    }

    /// Bytes on disk that were not read, as far as known.
    pub fn unread(&self) -> u64 {
        let known = self.complete.is_some() || self.gone || self.compressed;
        if known { 0 } else { self.stamp.size.saturating_sub(self.reader.at()) }
    }

    /// The file's entry in the checkpoint; `None` before its first line is complete.
    pub fn point(&self) -> Option<FilePoint> {
        let (file_id, fingerprint) = self.identity?;
        Some(FilePoint {
            file_id,
            path: self.path.to_string_lossy().into_owned(),
            device: self.device,
            inode: self.inode,
            generation: self.generation,
            fingerprint,
            compressed: self.compressed,
            position: self.position,
            real_path: self.real.to_string_lossy().into_owned(),
            extent: if self.compressed { 0 } else { self.extent },
            published: self.segments.span().map_or(self.position, |(_, end)| end),
            gone: self.gone,
            unlisted: !self.listed,
            repairs: self.repairs,
            last_line: self.last_line,
            complete: self.complete,
            damage: self.damage.clone(),
        })
    }

    /// Why it could not be read, or not to its end.
    pub fn problem(&self) -> Option<&str> {
        self.trouble.as_deref().or(self.damage.as_deref())
    }
}

/// Whether the file still has the first line and the last committed line of the checkpoint.
fn same_content(input: &mut Input, point: &FilePoint, sensor: &SensorId) -> io::Result<bool> {
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

/// Whether the last line is still where it was.
fn still_holds(input: &Input, last: &LastLine, sensor: &SensorId) -> io::Result<bool> {
    let length = usize::try_from(last.end - last.start).unwrap_or(usize::MAX);
    // A longer line is not worth reading again.
    if length > MAX_LINE {
        return Ok(true);
    }
    let mut bytes = vec![0; length];
    let read = input.read_at(&mut bytes, last.start)?;
    let mut chunk = &bytes[..read];
    if chunk.iter().all(|&byte| byte == 0) {
        return Ok(true);
    }
    let mut reader = LineReader::new(last.start);
    let line = reader.next(&mut chunk).or_else(|| reader.finish());
    Ok(line.is_some_and(|item| item.end() == last.end && EventId::of(sensor, content(&item)) == last.hash))
}

/// Whether the unfinished line still begins as it did when it was read. If not, the file was truncated and
/// refilled.
fn still_begins(input: &Input, reader: &LineReader) -> io::Result<bool> {
    let Some(start) = reader.unfinished() else { return Ok(true) };
    let mut bytes = vec![0; COMPARED.min(usize::try_from(reader.at() - start).unwrap_or(COMPARED))];
    let read = input.read_at(&mut bytes, start)?;
    bytes.truncate(read);
    bytes.retain(|&byte| byte != 0);
    // `copytruncate` leaves only NUL bytes.
    Ok(bytes.is_empty() || reader.partial().starts_with(&bytes))
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
pub(crate) fn line_at(input: &mut Input, offset: u64) -> io::Result<Option<Item>> {
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
