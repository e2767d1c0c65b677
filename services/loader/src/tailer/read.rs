//! Reads one bounded chunk of one file at a time, and publishes its lines.

use std::io;

use events::{Envelope, EventId, FileId, Unusable, line::Item};

use super::Tailer;
use crate::{
    checkpoint::LastLine,
    file::{Rejoin, content, is_nul},
    files::FileKey,
    metrics::REPAIRS,
    pieces::{self, Line, Piece, Repair},
    statistics::Tally,
};

/// The warning about files that seem not to be Cowrie's JSON log is logged for this many of them.
const MOST_HINTS: u32 = 10;

impl Tailer {
    /// Reads and publishes one chunk of one file. Returns false when no file is ready.
    pub(super) async fn read_chunk(&mut self) -> bool {
        let Some(key) = self.files.choose() else { return false };
        self.files.free_descriptors(key);
        let mut buffer = std::mem::take(&mut self.buffer);
        match self.read_from(key, &mut buffer) {
            Ok(Some(0)) => self.end_reached(key),
            Ok(Some(read)) => {
                self.publish_chunk(key, &buffer[..read]).await;
                if is_nul(&buffer[..read]) {
                    self.skip_hole(key).await;
                }
            }
            Ok(None) => (),
            Err(error) => self.unreadable(key, &error),
        }
        self.buffer = buffer;
        true
    }

    /// Reads the next chunk; `None` when the file was truncated, or has to wait.
    fn read_from(&mut self, key: FileKey, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let Some(file) = self.files.get_mut(key) else { return Ok(None) };
        if file.was_rewritten(&self.settings.sensor)? {
            self.truncated(key);
            return Ok(None);
        }
        match file.rejoin(&self.settings.sensor, self.settings.expand_arrays)? {
            Rejoin::No => (),
            Rejoin::Wait => return Ok(None),
            Rejoin::ReadAgain(None) => (),
            Rejoin::ReadAgain(Some(tally)) => self.statistics.uncount(&tally),
        }
        file.read(buffer).map(Some)
    }

    fn end_reached(&mut self, key: FileKey) {
        if let Some(file) = self.files.get_mut(key) {
            file.end_reached();
        }
    }

    fn unreadable(&mut self, key: FileKey, error: &io::Error) {
        if boot::is_descriptor_shortage(error) {
            self.files.close_some(Some(key));
        }
        if let Some(file) = self.files.get_mut(key) {
            file.unreadable(error, self.settings.once);
        }
    }

    /// After NUL bytes, skips the hole if they are part of a sparse file.
    async fn skip_hole(&mut self, key: FileKey) {
        let Some(file) = self.files.get_mut(key) else { return };
        if let Some(item) = file.skip_hole() {
            self.publish_item(key, item, false).await;
        }
    }

    async fn publish_chunk(&mut self, key: FileKey, mut chunk: &[u8]) {
        let Some(file) = self.files.get_mut(key) else { return };
        file.begin_chunk();
        let epoch = file.progress().epoch();
        loop {
            let may_read = self.may_read();
            // If reading was reset meanwhile (a message was not acknowledged), drop the rest of the chunk.
            let Some(file) = self.files.in_epoch(key, epoch) else { return };
            if !may_read {
                return file.keep_unparsed(chunk);
            }
            let Some(item) = file.next_item(&mut chunk) else { return };
            self.publish_item(key, item, false).await;
        }
    }

    /// Publishes the events on a line, unless its bytes are committed already. `is_cut` marks a last line
    /// without newline.
    pub(super) async fn publish_item(&mut self, key: FileKey, item: Item, is_cut: bool) {
        let Some(file) = self.files.get_mut(key) else { return };
        let (first, end, counted) = (item.start(), item.end(), file.progress().counted());
        if matches!(item, Item::Skipped { .. }) {
            let tally = Tally { skipped_bytes: end.saturating_sub(counted), ..Tally::default() };
            file.count(end, &tally, &self.statistics);
            return;
        }
        file.drop_provisional_id();
        let is_new_file = file.identity().id().is_none();
        let Some(id) = file.identify(&item) else { return };
        let hash = EventId::of(&self.settings.sensor, content(&item));
        let pieces = match envelope(&item) {
            Ok(envelope) if self.settings.drops(&envelope) => {
                // As with a blank line, the bytes become part of the next message's range.
                let tally = dropped(counted, first, end);
                file.count(end, &tally, &self.statistics);
                return;
            }
            Ok(envelope) => {
                let start = file.progress().next_start();
                Line { sensor: &self.settings.sensor, file: id, start, item }.event(envelope, hash)
            }
            Err(why) => self.repair(key, id, item, why, is_cut),
        };
        let Some(file) = self.files.get_mut(key) else { return };
        let tally = pieces::tally(&pieces, counted, first);
        if file.count(end, &tally, &self.statistics) && is_cut {
            file.count_unfinished();
        }
        if file.count_strange_line(pieces.iter().all(Piece::is_not_json)) && self.hints < MOST_HINTS {
            self.hints += 1;
            let path = file.path().display();
            tracing::warn!(
                %path,
                "no line of this file is JSON so far: each becomes a dead letter. Is it Cowrie's text log? \
                 Pass the JSON log, cowrie.json"
            );
        }
        let line = LastLine { start: first, end, hash };
        let wanted = file.add_line(line, pieces, is_cut.then_some(tally));
        let epoch = file.progress().epoch();
        // Also save how far the file was published: if bytes are lost for good after that, the gap can be
        // reported.
        self.checkpoint.mark(true);
        if wanted.is_empty() {
            file.commit(&[]);
            return;
        }
        self.checkpoint.mark_new_file(is_new_file);
        self.save_new_files();
        self.publish_pieces(key, id, epoch, wanted).await;
    }

    /// Stitches or repairs a line that is not an event, and counts the repair.
    fn repair(
        &mut self,
        key: FileKey,
        id: FileId,
        item: Item,
        why: Option<Unusable>,
        is_cut: bool,
    ) -> Vec<Piece> {
        let start = self.files.get(key).map_or(0, |file| file.progress().next_start());
        let is_torn = matches!(why, Some(Unusable::NotJson(_)));
        // A first line may be the end of a split event, a last line without newline its beginning.
        let stitched = match (is_torn, is_cut, start) {
            (true, true, _) => self.files.find_tail(key, content(&item)),
            (true, false, 0) => self.files.find_head(key, content(&item)),
            _ => None,
        };
        let line = Line { sensor: &self.settings.sensor, file: id, start, item };
        let (pieces, repair) = match stitched {
            Some((whole, also)) => (line.stitched(whole, also), Some(Repair::Stitched)),
            None => line.unusable(why, is_cut, self.settings.expand_arrays),
        };
        if let (Some(file), Some(last), Some(repair)) = (self.files.get_mut(key), pieces.last(), repair)
            && file.count_repair(repair, last.end)
        {
            let kind = repair.name();
            tracing::debug!(path = %file.path().display(), offset = start, kind, "repaired a line");
            metrics::counter!(REPAIRS, "kind" => kind).increment(1);
        }
        pieces
    }
}

/// Reads a line as an event. The error says why it is not one; `None` for a line that is too long.
fn envelope(item: &Item) -> Result<Envelope, Option<Unusable>> {
    match item {
        Item::Line { bytes, .. } => Envelope::read(bytes).map_err(Some),
        Item::TooLong { .. } | Item::Skipped { .. } => Err(None),
    }
}

/// The tally of an event that `--drop` names.
fn dropped(counted: u64, first: u64, end: u64) -> Tally {
    Tally {
        skipped_bytes: first.saturating_sub(counted),
        dropped: 1,
        dropped_bytes: end - first,
        ..Tally::default()
    }
}
