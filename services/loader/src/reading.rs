//! Reads and publishes one bounded chunk of one file at a time.

use std::{
    io::{self, Read as _},
    time::{Duration, Instant},
};

use bus::{EventMessage, PublishError};
use events::{
    DeadId, DeadLetter, Envelope, EventId, EventName, FileId, Fingerprint, RangeSet, Reason, Source,
    Unusable, line::Item,
};

use crate::{
    checkpoint::{LastLine, Stamp},
    flight::{Sent, Taken},
    partial_lines::PartialLine,
    pieces::{self, Covered, Piece, Repair, What},
    scan::OPEN_AT_REST,
    statistics::Tally,
    tailer::{DEAD, EVENTS, PAUSE, Tailer},
    tracked::{Tracked, content, is_nul},
    unlisted::FORGET_AFTER,
};

/// When many files are open, a live log that was idle for this long is closed. It is opened again when it
/// grows.
const CLOSE_IDLE: Duration = Duration::from_secs(600);
/// How long to wait for a copy of a file that was truncated or deleted. Longer than an archive must stay
/// unchanged before it is read.
pub(crate) const COPY_PATIENCE: Duration = Duration::from_secs(15);
/// After this many lines at its start that are not JSON, a file is taken for something other than Cowrie's
/// JSON log.
const STRANGE_LINES: u32 = 5;
/// The warning about such files is logged for this many of them.
const MOST_HINTS: u32 = 10;
/// In `once` mode, a last line without newline may be completed within this time.
const ONCE_PATIENCE: Duration = Duration::from_secs(2);

/// The file and the range of a message.
#[derive(Clone, Copy)]
struct Place {
    key: u64,
    epoch: u64,
    file: FileId,
    start: u64,
    end: u64,
    /// The dead letter of a partial line that this message replaces.
    replaces: Option<DeadId>,
}

impl Tailer {
    /// Reads and publishes one chunk of one file. Returns false when no file is ready.
    pub async fn read_turn(&mut self) -> bool {
        let Some(key) = self.choose() else { return false };
        self.free_descriptors(key);
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

    /// Alternates between live files and the backlog (oldest first), so that neither starves the other.
    fn choose(&mut self) -> Option<u64> {
        let ready = |live: bool| {
            self.files.iter().find(|(_, file)| file.ready && file.live == live).map(|(key, _)| *key)
        };
        let chosen = if self.backlog_next {
            ready(false).or_else(|| ready(true))
        } else {
            ready(true).or_else(|| ready(false))
        };
        self.backlog_next = !self.backlog_next;
        let key = chosen?;
        // Several live files take turns.
        if let Some(file) = self.files.get(&key)
            && file.live
            && self.files.values().filter(|file| file.ready && file.live).count() > 1
        {
            let after = self
                .files
                .range(self.last_live + 1..)
                .find(|(_, file)| file.ready && file.live)
                .map(|(key, _)| *key);
            self.last_live = after.unwrap_or(key);
            return Some(self.last_live);
        }
        Some(key)
    }

    /// Reads the next chunk; `None` when the file was truncated, or has to wait.
    fn read_from(&mut self, key: u64, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let Some(file) = self.files.get_mut(&key) else { return Ok(None) };
        if file.was_rewritten(&self.sensor)? {
            self.truncated(key);
            return Ok(None);
        }
        if !self.rejoin(key)? {
            return Ok(None);
        }
        let Some(file) = self.files.get_mut(&key) else { return Ok(None) };
        file.used = Instant::now();
        let left = std::mem::take(&mut file.left);
        if left.is_empty() {
            let input = file.open()?;
            let read = input.read(buffer)?;
            file.compressed = input.compressed();
            return Ok(Some(read));
        }
        buffer[..left.len()].copy_from_slice(&left);
        Ok(Some(left.len()))
    }

    fn end_reached(&mut self, key: u64) {
        let Some(file) = self.files.get_mut(&key) else { return };
        (file.ready, file.verify, file.trouble) = (false, true, None);
        file.quiet_since.get_or_insert_with(Instant::now);
        let damage = file.input.as_ref().and_then(|input| input.damage().map(str::to_owned));
        if damage.is_some() && damage != file.damage {
            tracing::warn!(path = %file.path.display(), offset = file.reader.at(), damage, "an archive is damaged or cut off; the lines before the damage were read");
        }
        file.damage = damage;
    }

    /// Records why a file cannot be read. It is retried at the next scan. In `once` mode, and for an
    /// unsupported format, it is retried only after the file changed.
    fn unreadable(&mut self, key: u64, error: &io::Error) {
        let shortage = boot::is_descriptor_shortage(error);
        if shortage {
            self.close_some(key);
        }
        let Some(file) = self.files.get_mut(&key) else { return };
        file.ready = false;
        let text = error.to_string();
        let unsupported = error.kind() == io::ErrorKind::Unsupported;
        if unsupported && file.reader.at() > 0 {
            // The start was read: the rest counts as damaged.
            tracing::warn!(path = %file.path.display(), %error, "could not read the rest of an archive: unsupported");
            file.quiet_since = Some(Instant::now());
            file.damage = Some(text);
            return;
        }
        let missing = error.kind() == io::ErrorKind::NotFound;
        let known = file.trouble.as_ref() == Some(&text);
        file.refused = unsupported || (self.once && !missing && !shortage);
        match file.refused {
            true if !known => {
                tracing::warn!(path = %file.path.display(), %error, "could not read a log; will not retry until it changes")
            }
            false if !known && !missing => {
                tracing::warn!(path = %file.path.display(), %error, "could not read a log; will retry")
            }
            _ => (),
        }
        file.trouble = Some(text);
    }

    /// After NUL bytes, skips the hole if they are part of a sparse file.
    async fn skip_hole(&mut self, key: u64) {
        let Some(file) = self.files.get_mut(&key).filter(|file| file.left.is_empty()) else { return };
        // If this fails, the next read reports the error.
        let skipped = file.input.as_mut().and_then(|input| input.skip_hole().ok()).unwrap_or_default();
        if let Some(item) = file.reader.skip_nul(skipped) {
            self.publish_item(key, item, false).await;
        }
    }

    async fn publish_chunk(&mut self, key: u64, mut chunk: &[u8]) {
        let Some(file) = self.files.get_mut(&key) else { return };
        (file.quiet_since, file.ended, file.complete, file.trouble) = (None, false, None, None);
        let epoch = file.epoch;
        loop {
            let may_read = self.may_read();
            // If reading was reset meanwhile (a message was not acknowledged), drop the rest of the chunk.
            let Some(file) = self.files.get_mut(&key).filter(|file| file.epoch == epoch) else { return };
            if !may_read {
                file.left = chunk.to_vec();
                return;
            }
            let Some(item) = file.reader.next(&mut chunk) else { return };
            self.publish_item(key, item, false).await;
        }
    }

    /// Publishes the events on a line, unless its bytes are committed already. `cut` marks a last line
    /// without newline.
    async fn publish_item(&mut self, key: u64, item: Item, cut: bool) {
        let Some(file) = self.files.get_mut(&key) else { return };
        let (first, end) = match &item {
            Item::Line { start, end, .. } | Item::TooLong { start, end, .. } => (*start, *end),
            Item::Skipped { end, .. } => {
                let skipped = end.saturating_sub(file.counted);
                return self.count(key, *end, &Tally { skipped_bytes: skipped, ..Tally::default() });
            }
        };
        if std::mem::take(&mut file.renew) {
            (file.identity, file.done, file.covered, file.announced) = (None, RangeSet::default(), 0, false);
        }
        let met = file.identity.is_none();
        let Some(id) = file.identify(&item) else { return };
        let (covered, counted) = (file.covered, file.counted);
        let last_line = LastLine { start: first, end, hash: EventId::of(&self.sensor, content(&item)) };
        let envelope = match &item {
            Item::Line { bytes, .. } => Envelope::read(bytes).map_err(Some),
            Item::TooLong { .. } | Item::Skipped { .. } => Err(None),
        };
        if let Ok(envelope) = &envelope
            && self.tuning.drops.iter().any(|spec| spec.matches(&self.sensor, &envelope.eventid))
        {
            // As with a blank line, the bytes become part of the next message's range.
            let tally = Tally {
                skipped_bytes: first.saturating_sub(counted),
                dropped: 1,
                dropped_bytes: end - first,
                ..Tally::default()
            };
            return self.count(key, end, &tally);
        }
        let pieces = match envelope {
            Ok(envelope) => Covered { sensor: &self.sensor, file: id, start: covered, item }
                .event(envelope, last_line.hash),
            Err(why) => self.repaired(key, id, item, why, cut),
        };
        let tally = pieces::tally(&pieces, counted, first);
        self.count(key, end, &tally);
        self.note_strange_lines(key, &pieces);
        let Some(file) = self.files.get_mut(&key) else { return };
        let before = file.partial_line.filter(|half| half.start <= first && first < half.end);
        if cut {
            file.partial_line = Some(PartialLine::of(first, end, &pieces, tally));
        }
        file.repairs.unfinished += u64::from(cut && end > counted);
        let epoch = file.epoch;
        let wanted: Vec<_> =
            pieces.into_iter().filter(|piece| !file.done.contains(piece.start, piece.end)).collect();
        file.covered = end;
        file.segments.add(covered, end, last_line, wanted.len() as u32);
        // Also save how far the file was published: if bytes are lost for good after that, the gap can be
        // reported.
        self.dirty = true;
        if wanted.is_empty() {
            return self.commit(key);
        }
        self.met |= met;
        self.keep_met();
        self.publish_pieces(key, id, epoch, before, wanted).await;
    }

    /// Publishes the pieces of one line; `before` is the half of it that was taken as a line earlier.
    async fn publish_pieces(
        &mut self,
        key: u64,
        id: FileId,
        epoch: u64,
        before: Option<PartialLine>,
        pieces: Vec<Piece>,
    ) {
        for piece in pieces {
            let replaces = before.and_then(|half| half.replaced_by(&piece));
            let place = Place { key, epoch, file: id, start: piece.start, end: piece.end, replaces };
            let bytes = match &piece.what {
                What::Event { line, .. } => line.len(),
                What::Dead(dead) => dead.body.len(),
            };
            // One line may become many messages.
            let Some(room) = self.room(key, epoch, bytes as u64).await else { return };
            match piece.what {
                What::Event { line, envelope, id, also, returns } => {
                    self.publish_event(place, room, (line, returns), &envelope, (id, also)).await
                }
                What::Dead(dead) => self.publish_dead(place, room, &dead).await,
            }
        }
    }

    /// Warns once about a file that seems not to be Cowrie's JSON log.
    fn note_strange_lines(&mut self, key: u64, pieces: &[Piece]) {
        let Some(file) = self.files.get_mut(&key) else { return };
        let strange =
            |piece: &Piece| matches!(&piece.what, What::Dead(dead) if dead.reason == Reason::NotJson);
        file.strange_lines = file.strange_lines.filter(|_| pieces.iter().all(strange)).map(|lines| lines + 1);
        if file.strange_lines == Some(STRANGE_LINES) && self.hints < MOST_HINTS {
            self.hints += 1;
            let path = file.path.display();
            tracing::warn!(%path, "no line of this file is JSON so far: each becomes a dead letter. Is it Cowrie's text log? Pass the JSON log, cowrie.json");
        }
    }

    /// Stitches or repairs a line that is not an event, and counts the repair.
    fn repaired(&mut self, key: u64, id: FileId, item: Item, why: Option<Unusable>, cut: bool) -> Vec<Piece> {
        let covered = self.files.get(&key).map_or(0, |file| file.covered);
        let torn = matches!(why, Some(Unusable::NotJson(_)));
        // A first line may be the end of a split event, a last line without newline its beginning.
        let stitched = match (torn, cut, covered) {
            (true, true, _) => self.find_tail(key, content(&item)),
            (true, false, 0) => self.find_head(key, content(&item)),
            _ => None,
        };
        let line = Covered { sensor: &self.sensor, file: id, start: covered, item };
        let (pieces, repair) = match stitched {
            Some((whole, also)) => (line.stitched(whole, also), Some(Repair::Stitched)),
            None => line.unusable(why, cut, self.expand_arrays),
        };
        let Some(file) =
            self.files.get_mut(&key).filter(|file| pieces.last().is_some_and(|last| last.end > file.counted))
        else {
            return pieces;
        };
        match repair {
            Some(Repair::Glued) => file.repairs.glued += 1,
            Some(Repair::Stitched) => file.repairs.stitched += 1,
            Some(Repair::Array) => file.repairs.arrays += 1,
            None => (),
        }
        if let Some(repair) = repair {
            let kind = format!("{repair:?}").to_lowercase();
            tracing::debug!(path = %file.path.display(), offset = covered, kind, "repaired a line");
            metrics::counter!(crate::metrics::REPAIRS, "kind" => kind).increment(1);
        }
        pieces
    }

    /// Publishes an event. `returns` is the number of carriage returns that were removed from the end of its
    /// line.
    async fn publish_event(
        &mut self,
        place: Place,
        room: Taken,
        (line, returns): (bytes::Bytes, usize),
        envelope: &Envelope,
        (id, also): (EventId, Option<(FileId, u64, u64)>),
    ) {
        let Some(file) = self.files.get_mut(&place.key) else { return };
        let announce = if file.announced { None } else { file.announcement() };
        file.announced = true;
        let msg_id = match file.attempt(place.start) {
            0 => id.to_string(),
            // Unique among all copies of this line and all attempts, so that the duplicate window does not
            // drop it.
            attempt => format!("{id}.{attempt}.{}.{}", place.file, place.start),
        };
        let mut source = Source::one(place.file, place.start, place.end);
        source.files.extend(also.map(|(file, start, end)| (file, vec![(start, end)])));
        let event_id = id.0;
        let span = boot::traces_event(event_id)
            .then(|| boot::span("publish", Some(&boot::trace_of_event(event_id))));
        let trace = span.as_ref().and_then(boot::Span::traceparent);
        let message = EventMessage {
            name: EventName::of(&envelope.eventid),
            line: line.clone(),
            msg_id,
            source: Some(source.clone()),
            announce,
            replay: place.replaces,
            returns,
            trace,
        };
        let ack =
            self.bus.publish_event(&self.sensor, message).await.map(|ack| until_acknowledged(ack, span));
        if matches!(ack, Err(PublishError::TooLarge)) {
            let detail = "larger than the broker's max_payload".to_owned();
            let dead = DeadLetter::of_line(self.sensor.clone(), Reason::TooLong, detail, &line, source);
            return self.publish_dead(place, room, &dead).await;
        }
        self.sent(place, room, EVENTS, ack);
    }

    async fn publish_dead(&mut self, place: Place, room: Taken, dead: &DeadLetter) {
        let Some(file) = self.files.get(&place.key) else { return };
        let (Some(announce), attempt) = (file.announcement(), file.attempt(place.start)) else { return };
        metrics::counter!(crate::metrics::DEAD_LETTERS, "reason" => dead.reason.as_str())
            .increment(1);
        tracing::debug!(path = %announce.path, offset = place.start, reason = dead.reason.as_str(), "published a line as a dead letter");
        let mut ack = self.bus.publish_dead(dead, &announce, attempt, place.replaces).await;
        if matches!(ack, Err(PublishError::TooLarge)) {
            let without_body = DeadLetter { body: Vec::new(), ..dead.clone() };
            ack = self.bus.publish_dead(&without_body, &announce, attempt, place.replaces).await;
        }
        self.sent(place, room, DEAD, ack);
    }

    /// Adds a message to those in flight. If the publish call failed, the message fails when its turn comes.
    fn sent(&mut self, place: Place, room: Taken, stream: usize, ack: Result<bus::Ack, PublishError>) {
        let ack = ack.unwrap_or_else(|error| {
            self.paused_until = Instant::now() + PAUSE;
            Box::pin(std::future::ready(Err(error)))
        });
        self.flight.push(Sent {
            file: place.key,
            epoch: place.epoch,
            start: place.start,
            _room: room,
            stream,
            at: Instant::now(),
            ack,
        });
        if self.files.get(&place.key).is_some_and(|file| file.attempt(place.start) > 0) {
            self.statistics.republished();
        }
    }

    /// Publishes a dead letter about bytes that were published, then lost, and can no longer be read.
    pub async fn publish_gap(&mut self, key: u64) {
        let Some(file) = self.files.get_mut(&key) else { return };
        let (Some((id, _)), Some((start, end))) = (file.identity, file.segments.join()) else { return };
        let missing = file.done.missing(start, end);
        if missing.is_empty() {
            return;
        }
        let detail = format!(
            "{} can no longer be read; the broker lost these bytes before they were committed. A rotated copy may hold them",
            file.path.display()
        );
        let dead = DeadLetter::gap(self.sensor.clone(), detail, Source { files: vec![(id, missing)] });
        if !std::mem::replace(&mut file.gap_logged, true) {
            tracing::warn!(path = %file.path.display(), bytes = dead.length, "bytes are lost for good: the broker lost them, and the log no longer has them");
            self.statistics.gap(dead.length);
        }
        let place = Place { key, epoch: file.epoch, file: id, start, end, replaces: None };
        let Some(room) = self.room(key, place.epoch, 0).await else { return };
        self.publish_dead(place, room, &dead).await;
    }

    /// Publishes a dead letter about bytes that were never published and can no longer be read, unless a copy
    /// has them.
    pub async fn publish_lost(&mut self) {
        let due = |file: &Tracked| file.lost.is_some_and(|(_, since)| since.elapsed() >= COPY_PATIENCE);
        let keys: Vec<_> = self.files.iter().filter(|(_, file)| due(file)).map(|(key, _)| *key).collect();
        for key in keys {
            let Some(epoch) = self.files.get(&key).map(|file| file.epoch) else { continue };
            let Some(room) = self.room(key, epoch, 0).await else { continue };
            if !self.may_read() {
                return;
            }
            let copied = self.is_copied(key);
            let Some(file) = self.files.get_mut(&key) else { continue };
            let (device, inode, generation) = (file.device, file.inode, file.generation);
            // Perhaps not even the first line was read.
            let nothing =
                || (FileId::of(device, inode, generation, &Fingerprint::of(b"")), Fingerprint::of(b""));
            let (id, _) = *file.identity.get_or_insert_with(nothing);
            let (start, Some((end, _)), false) = (file.covered, file.lost.take(), copied) else { continue };
            self.dirty = true;
            // If a loader was killed, more was published than its checkpoint says. Postgres has been asked
            // since.
            let missing = file.done.missing(start, end);
            if missing.is_empty() {
                continue;
            }
            let bytes: u64 = missing.iter().map(|(start, end)| end - start).sum();
            tracing::warn!(path = %file.path.display(), bytes, "bytes are lost for good: the log was truncated or deleted before they were read");
            self.statistics.gap(bytes);
            file.segments.add(start, end, LastLine { start, end, hash: EventId([0; 16]) }, 1);
            file.covered = end;
            let detail =
                format!("{} was truncated or deleted before these bytes were read", file.path.display());
            let dead = DeadLetter::gap(self.sensor.clone(), detail, Source { files: vec![(id, missing)] });
            let place = Place { key, epoch: file.epoch, file: id, start, end, replaces: None };
            self.publish_dead(place, room, &dead).await;
        }
    }

    /// Publishes a dead letter about the rest of an archive that could not be read. Its range is the one byte
    /// after what was read, because a receipt needs a range. An archive that changes counts as another file.
    async fn publish_damage(&mut self, key: u64) {
        let unreported =
            self.files.get(&key).filter(|file| file.damage.is_some() && file.damage_reported.is_none());
        let Some(epoch) = unreported.map(|file| file.epoch) else { return };
        let Some(room) = self.room(key, epoch, 0).await else { return };
        let Some(file) = self.files.get_mut(&key) else { return };
        let Some(damage) = &file.damage else { return };
        let (start, end) = (file.covered, file.covered + 1);
        let detail =
            format!("{} could be read only up to byte {}: {damage}", file.path.display(), file.reader.at());
        let (device, inode, generation) = (file.device, file.inode, file.generation);
        // Perhaps not even the first line could be read.
        let nothing = || (FileId::of(device, inode, generation, &Fingerprint::of(b"")), Fingerprint::of(b""));
        let (id, _) = *file.identity.get_or_insert_with(nothing);
        let dead = DeadLetter::damaged(self.sensor.clone(), detail, Source::one(id, start, end));
        file.segments.add(start, end, LastLine { start, end, hash: EventId([0; 16]) }, 1);
        (file.covered, file.damage_reported) = (end, Some(start));
        self.dirty = true;
        let place = Place { key, epoch: file.epoch, file: id, start, end, replaces: None };
        self.publish_dead(place, room, &dead).await;
    }

    /// Takes the last line without newline of files to which nothing will be appended.
    pub async fn finish_files(&mut self) {
        let (once, close_after) = (self.once, self.tuning.close_after());
        let due = |file: &Tracked| {
            let quiet = file.quiet_since.map_or(Duration::ZERO, |since| since.elapsed());
            let closed = match (file.compressed, once) {
                // A damaged archive may still be being copied.
                (true, false) => file.damage.is_none() || quiet >= close_after,
                (true, true) => true,
                (false, true) => quiet >= ONCE_PATIENCE,
                (false, false) => !file.live && quiet >= close_after,
            };
            let unreported = file.damage.is_some() && file.damage_reported.is_none();
            let at_end = !file.ready && !file.gone && file.changed.is_none() && file.quiet_since.is_some();
            at_end && closed && ((!file.ended && file.reader.unfinished().is_some()) || unreported)
        };
        let keys: Vec<_> = self.files.iter().filter(|(_, file)| due(file)).map(|(key, _)| *key).collect();
        for key in keys {
            if !self.may_read() {
                return;
            }
            let copied = self.partial_line_is_copied(key);
            let Some(file) = self.files.get_mut(&key).filter(|file| due(file)) else { continue };
            file.ended = true;
            if let Some(item) = file.reader.finish()
                && !copied
            {
                self.publish_item(key, item, true).await;
            }
            self.publish_damage(key).await;
        }
        self.finish_complete();
    }

    /// Marks the files that are wholly committed, and closes those that nobody seems to write.
    pub fn finish_complete(&mut self) {
        for file in self.files.values_mut().filter(|file| file.complete.is_none() && !file.gone) {
            let reported = file.damage.is_none() || file.damage_reported.is_some();
            let read_to_end = file.quiet_since.is_some()
                && !file.ready
                && file.changed.is_none()
                && reported
                && file.reader.unfinished().is_none();
            let stamp = file
                .input
                .as_ref()
                .and_then(|input| input.metadata().ok())
                .map_or(file.stamp, |meta| Stamp::of(&meta));
            let all = file.compressed || file.reader.at() == stamp.size;
            if read_to_end && all && file.segments.is_empty() {
                file.complete = Some(stamp);
                file.stamp = stamp;
                self.dirty = true;
            }
        }
        self.close_idle();
    }

    /// Closes files that can be opened again by name. Files that no pattern matches stay open, see
    /// `follow_unlisted`.
    fn close_idle(&mut self) {
        let many = self.open_files() > OPEN_AT_REST;
        for file in
            self.files.values_mut().filter(|file| file.complete.is_some() && !file.ready && file.listed)
        {
            let quiet = |limit| file.quiet_since.is_none_or(|since| since.elapsed() >= limit);
            let close = match (file.live, file.compressed) {
                (_, true) => true,
                // Cowrie may still have it open while it is renamed.
                (true, false) => many && quiet(CLOSE_IDLE),
                (false, false) => many || quiet(FORGET_AFTER),
            };
            if close {
                file.input = None;
            }
        }
    }

    /// Moves the committed prefix of a file, if it can move.
    fn commit(&mut self, key: u64) {
        if let Some(file) = self.files.get_mut(&key) {
            self.dirty |= file.commit(&[]);
        }
    }

    /// Adds to the statistics what was read up to `end`, unless it was counted before.
    fn count(&mut self, key: u64, end: u64, tally: &Tally) {
        let Some(file) = self.files.get_mut(&key) else { return };
        if end > file.counted {
            self.statistics.count(tally);
            file.repairs.skipped_bytes += tally.skipped_bytes;
            file.counted = end;
        }
    }
}
/// Ends a span when the broker has answered.
fn until_acknowledged(ack: bus::Ack, span: Option<boot::Span>) -> bus::Ack {
    match span {
        None => ack,
        Some(span) => Box::pin(async move {
            let answer = ack.await;
            drop(span);
            answer
        }),
    }
}
