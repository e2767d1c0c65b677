//! Where reading is in a file: its open descriptor, its unfinished line, and whether there is more to read.

use std::{
    io::{self, Read as _},
    time::{Duration, Instant},
};

use events::{LineReader, line::Item};

use crate::input::Input;

/// Number of bytes of an unfinished line that are compared with the file's current content.
const COMPARED: usize = 4096;

pub(crate) struct Reading {
    input: Option<Input>,
    is_archive: bool,
    lines: LineReader,
    /// Bytes that were read from the file but not yet passed to `lines`.
    unparsed: Vec<u8>,
    /// There may be something to read.
    is_ready: bool,
    /// The file continues after a partial line that is not committed yet. Reading resumes when that is
    /// committed.
    awaits_commit: bool,
    /// Before reading on, check that the file still holds what was read of it.
    must_verify: bool,
    /// When it was last read.
    used: Instant,
    /// When its end was reached.
    quiet_since: Option<Instant>,
    /// Nothing will be appended: the last line without newline was taken.
    has_ended: bool,
}

impl Reading {
    pub(super) fn new() -> Self {
        Self {
            input: None,
            is_archive: false,
            lines: LineReader::new(0),
            unparsed: Vec::new(),
            is_ready: true,
            awaits_commit: false,
            must_verify: true,
            used: Instant::now(),
            quiet_since: None,
            has_ended: false,
        }
    }

    pub fn is_open(&self) -> bool {
        self.input.is_some()
    }

    /// Whether the file is compressed. Nothing is appended to an archive.
    pub fn is_archive(&self) -> bool {
        self.is_archive
    }

    /// The offset up to which the file was read.
    pub fn offset(&self) -> u64 {
        self.lines.at()
    }

    /// Where the unfinished line starts; `None` between lines.
    pub fn unfinished(&self) -> Option<u64> {
        self.lines.unfinished()
    }

    pub fn is_ready(&self) -> bool {
        self.is_ready
    }

    pub fn used(&self) -> Instant {
        self.used
    }

    /// When the end was reached; `None` if there was more to read.
    pub fn quiet_since(&self) -> Option<Instant> {
        self.quiet_since
    }

    /// For how long nothing was appended; `None` if the end was not reached.
    pub fn quiet_for(&self) -> Option<Duration> {
        self.quiet_since.map(|since| since.elapsed())
    }

    pub fn has_ended(&self) -> bool {
        self.has_ended
    }

    pub(super) fn input(&self) -> Option<&Input> {
        self.input.as_ref()
    }

    pub(super) fn input_mut(&mut self) -> io::Result<&mut Input> {
        self.input.as_mut().ok_or_else(|| io::Error::other("no input"))
    }

    pub(super) fn set_archive(&mut self, is_archive: bool) {
        self.is_archive = is_archive;
    }

    /// Continues with an open file at the offset where reading is.
    pub(super) fn open(&mut self, mut input: Input) -> io::Result<()> {
        self.is_archive = input.compressed();
        input.go_to(self.lines.at() + self.unparsed.len() as u64)?;
        self.must_verify = true;
        self.input = Some(input);
        Ok(())
    }

    /// Reads the next generation of a file from its start.
    pub(super) fn open_from_start(&mut self, input: Option<Input>) {
        self.is_archive = input.as_ref().is_some_and(Input::compressed);
        self.input = input;
    }

    pub(super) fn close(&mut self) {
        self.input = None;
    }

    /// The bytes can no longer be read.
    pub(super) fn become_gone(&mut self) {
        (self.is_ready, self.input) = (false, None);
    }

    /// Moves the open file back to the offset where reading is.
    pub(super) fn go_back(&mut self) -> io::Result<()> {
        let offset = self.lines.at() + self.unparsed.len() as u64;
        self.input_mut()?.go_to(offset)
    }

    /// Begins at an offset where a line starts, without a change to an open file.
    pub(super) fn start_at(&mut self, offset: u64) {
        self.lines = LineReader::new(offset);
    }

    /// Resets reading to an offset where a line starts.
    pub(super) fn rewind(&mut self, offset: u64) -> io::Result<()> {
        self.lines = LineReader::new(offset);
        self.unparsed = Vec::new();
        (self.is_ready, self.awaits_commit, self.must_verify) = (true, false, true);
        (self.has_ended, self.quiet_since) = (false, None);
        let Some(input) = &mut self.input else { return Ok(()) };
        let moved = input.go_to(offset);
        if moved.is_err() {
            self.input = None;
        }
        moved
    }

    pub(super) fn set_ready(&mut self, is_ready: bool) {
        self.is_ready = is_ready;
    }

    /// The file was committed as a whole: nothing is read until it changes.
    pub(super) fn rest(&mut self) {
        (self.is_ready, self.has_ended) = (false, true);
    }

    /// Waits until what was read is committed.
    pub(super) fn await_commit(&mut self) {
        (self.is_ready, self.awaits_commit) = (false, true);
    }

    pub(super) fn committed(&mut self) {
        self.is_ready |= std::mem::take(&mut self.awaits_commit);
    }

    pub(super) fn touch(&mut self) {
        self.used = Instant::now();
    }

    pub fn has_unparsed(&self) -> bool {
        !self.unparsed.is_empty()
    }

    /// Reads the next bytes; first those that were not passed on the last time.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let unparsed = std::mem::take(&mut self.unparsed);
        if !unparsed.is_empty() {
            buffer[..unparsed.len()].copy_from_slice(&unparsed);
            return Ok(unparsed.len());
        }
        let input = self.input_mut()?;
        let read = input.read(buffer)?;
        self.is_archive = input.compressed();
        Ok(read)
    }

    /// Bytes were read, so the file had not ended.
    pub(super) fn resume(&mut self) {
        (self.quiet_since, self.has_ended) = (None, false);
    }

    /// Keeps bytes that were read for the next `read`.
    pub(super) fn keep(&mut self, chunk: &[u8]) {
        self.unparsed = chunk.to_vec();
    }

    pub(super) fn next_item(&mut self, chunk: &mut &[u8]) -> Option<Item> {
        self.lines.next(chunk)
    }

    /// The end was reached.
    pub(super) fn end_reached(&mut self) {
        (self.is_ready, self.must_verify) = (false, true);
        self.quiet();
    }

    /// Notes since when nothing is appended, unless that is known.
    pub(super) fn quiet(&mut self) {
        self.quiet_since.get_or_insert_with(Instant::now);
    }

    /// The rest of the file cannot be read.
    pub(super) fn stop(&mut self) {
        (self.is_ready, self.quiet_since) = (false, Some(Instant::now()));
    }

    /// Takes the last line without its newline.
    pub(super) fn finish(&mut self) -> Option<Item> {
        self.has_ended = true;
        self.lines.finish()
    }

    /// Skips the hole of a sparse file that begins where reading is.
    pub(super) fn skip_hole(&mut self) -> Option<Item> {
        if self.has_unparsed() {
            return None;
        }
        // If this fails, the next read reports the error.
        let skipped = self.input.as_mut().and_then(|input| input.skip_hole().ok()).unwrap_or_default();
        self.lines.skip_nul(skipped)
    }

    /// Whether the file must be compared with what was read of it. Returns true once.
    pub(super) fn take_verify(&mut self) -> bool {
        self.input.is_some() && !self.is_archive && std::mem::take(&mut self.must_verify)
    }

    /// Whether the unfinished line still begins as it did when it was read. If not, the file was truncated
    /// and refilled.
    pub(super) fn unfinished_is_unchanged(&self) -> io::Result<bool> {
        let (Some(start), Some(input)) = (self.lines.unfinished(), &self.input) else { return Ok(true) };
        let length = usize::try_from(self.lines.at() - start).unwrap_or(COMPARED);
        let mut bytes = vec![0; COMPARED.min(length)];
        let read = input.read_at(&mut bytes, start)?;
        bytes.truncate(read);
        bytes.retain(|&byte| byte != 0);
        // `copytruncate` leaves only NUL bytes.
        Ok(bytes.is_empty() || self.lines.partial().starts_with(&bytes))
    }
}
