//! Reading and publishing: a bounded piece of one file at a time.

use std::{
    io,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use bus::{EventMessage, PublishError};
use events::{DeadLetter, Envelope, EventId, EventName, FileId, Reason, Source, line::Item};

use crate::{
    checkpoint::{LastLine, Stamp},
    flight::Sent,
    tailer::{DEAD, EVENTS, PAUSE, Tailer},
    tracked::{Tracked, content},
};

/// A live log that was quiet for this long is closed, and opened again when it grows.
const CLOSE_IDLE: Duration = Duration::from_secs(600);
/// In `once` mode: how long a last line without newline is given to be completed.
const ONCE_PATIENCE: Duration = Duration::from_secs(2);

/// A message's place.
#[derive(Clone, Copy)]
struct Piece {
    key: u64,
    turn: u64,
    file: FileId,
    start: u64,
    end: u64,
}

impl Tailer {
    /// Reads and publishes one piece of one file; false when no file has anything.
    pub async fn read_turn(&mut self) -> anyhow::Result<bool> {
        let Some(key) = self.choose() else { return Ok(false) };
        let mut buffer = std::mem::take(&mut self.buffer);
        match self.read_from(key, &mut buffer) {
            Ok(Some(0)) => self.end_reached(key),
            Ok(Some(read)) => self.publish_chunk(key, &buffer[..read]).await,
            Ok(None) => (),
            Err(error) => self.unreadable(key, error)?,
        }
        self.buffer = buffer;
        Ok(true)
    }

    /// Live files and the backlog (oldest first) take turns, so that neither starves the other.
    fn choose(&mut self) -> Option<u64> {
        let ready = |live: bool| self.files.iter().find(|(_, file)| file.ready && file.live == live).map(|(key, _)| *key);
        let chosen = if self.backlog_next { ready(false).or_else(|| ready(true)) } else { ready(true).or_else(|| ready(false)) };
        self.backlog_next = !self.backlog_next;
        let key = chosen?;
        // Several live files: each in its turn.
        if let Some(file) = self.files.get(&key)
            && file.live
            && self.files.values().filter(|file| file.ready && file.live).count() > 1
        {
            let after = self.files.range(self.last_live + 1..).find(|(_, file)| file.ready && file.live).map(|(key, _)| *key);
            self.last_live = after.unwrap_or(key);
            return Some(self.last_live);
        }
        Some(key)
    }

    /// Reads on; `None` when the file turns out to start anew.
    fn read_from(&mut self, key: u64, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let Some(file) = self.files.get_mut(&key) else { return Ok(None) };
        if file.starts_anew(&self.sensor)? {
            self.truncated(key);
            return Ok(None);
        }
        let left = std::mem::take(&mut file.left);
        if left.is_empty() {
            return file.open()?.read(buffer).map(Some);
        }
        buffer[..left.len()].copy_from_slice(&left);
        Ok(Some(left.len()))
    }

    fn end_reached(&mut self, key: u64) {
        let Some(file) = self.files.get_mut(&key) else { return };
        (file.ready, file.verify, file.trouble) = (false, true, None);
        file.quiet_since.get_or_insert_with(Instant::now);
    }

    /// What cannot be read is tried again at the next scan, which also notices when it is gone.
    fn unreadable(&mut self, key: u64, error: io::Error) -> anyhow::Result<()> {
        let Some(file) = self.files.get_mut(&key) else { return Ok(()) };
        file.ready = false;
        let missing = error.kind() == io::ErrorKind::NotFound;
        if self.once && !missing {
            return Err(error).with_context(|| format!("read {}", file.path.display()));
        }
        let text = error.to_string();
        if !missing && file.trouble.as_ref() != Some(&text) {
            tracing::warn!(path = %file.path.display(), %error, "could not read, trying again");
        }
        file.trouble = Some(text);
        Ok(())
    }

    async fn publish_chunk(&mut self, key: u64, mut chunk: &[u8]) {
        let Some(file) = self.files.get_mut(&key) else { return };
        (file.quiet_since, file.ended, file.complete, file.trouble) = (None, false, None, None);
        let turn = file.turn;
        loop {
            self.make_room().await;
            let may_read = self.may_read();
            // Going back (a message was not acknowledged) makes the rest of the chunk void.
            let Some(file) = self.files.get_mut(&key).filter(|file| file.turn == turn) else { return };
            if !may_read {
                file.left = chunk.to_vec();
                return;
            }
            let Some(item) = file.reader.next(&mut chunk) else { return };
            self.publish_item(key, item, false).await;
        }
    }

    /// Publishes a line, unless its bytes are committed already. `cut` marks a last line without newline.
    async fn publish_item(&mut self, key: u64, item: Item, cut: bool) {
        let sensor = self.sensor.clone();
        let Some(file) = self.files.get_mut(&key) else { return };
        let Some(id) = file.identify(&item).filter(|_| !matches!(item, Item::Skipped { .. })) else {
            return self.count(key, &item, None);
        };
        let first = match &item {
            Item::Line { start, .. } | Item::TooLong { start, .. } | Item::Skipped { start, .. } => *start,
        };
        let hash = EventId::of(&sensor, content(&item));
        let piece = Piece { key, turn: file.turn, file: id, start: file.covered, end: item.end() };
        let committed = file.done.contains(piece.start, piece.end);
        file.covered = piece.end;
        file.segments.add(piece.start, piece.end, LastLine { start: first, end: piece.end, hash }, !committed);
        // How far it is published is kept, too: what is published and then lost for good can be named.
        self.dirty = true;
        let envelope = match &item {
            Item::Line { bytes, .. } => Envelope::read(bytes).map_err(Some),
            Item::TooLong { .. } | Item::Skipped { .. } => Err(None),
        };
        self.count(key, &item, envelope.as_ref().ok());
        if committed {
            return self.commit(key);
        }
        let dead = match (item, envelope) {
            (Item::Line { bytes, .. }, Ok(envelope)) => return self.publish_event(piece, bytes, &envelope, hash).await,
            (Item::Line { bytes, .. }, Err(why)) => {
                let (mut reason, detail) = why.map_or((Reason::NotJson, String::new()), |why| (Reason::from(&why), why.to_string()));
                if cut && reason == Reason::NotJson {
                    reason = Reason::Truncated;
                }
                DeadLetter::of_line(sensor, reason, detail, &bytes, Source::one(piece.file, piece.start, piece.end))
            }
            (Item::TooLong { body, length, hash, .. }, _) => {
                let detail = format!("{length} bytes, at most {} are taken", events::MAX_LINE);
                DeadLetter { sensor, reason: Reason::TooLong, detail, body, length, hash, source: Source::one(piece.file, piece.start, piece.end) }
            }
            (Item::Skipped { .. }, _) => return,
        };
        self.publish_dead(piece, &dead).await;
    }

    async fn publish_event(&mut self, piece: Piece, line: Vec<u8>, envelope: &Envelope, id: EventId) {
        let Some(file) = self.files.get_mut(&piece.key) else { return };
        let announce = if file.announced { None } else { file.announcement() };
        file.announced = true;
        let msg_id = match file.attempt(piece.start) {
            0 => id.to_string(),
            // Unlike any other copy of the line, and any earlier attempt.
            attempt => format!("{id}.{attempt}.{}.{}", piece.file, piece.start),
        };
        let bytes = line.len() as u64;
        let line = bytes::Bytes::from(line);
        let message = EventMessage {
            name: EventName::of(&envelope.eventid),
            line: line.clone(),
            msg_id,
            source: Some(Source::one(piece.file, piece.start, piece.end)),
            announce,
            replay: None,
        };
        let ack = self.bus.publish_event(&self.sensor, message).await;
        if matches!(ack, Err(PublishError::TooLarge)) {
            let detail = "larger than the broker's max_payload".to_owned();
            let dead = DeadLetter::of_line(self.sensor.clone(), Reason::TooLong, detail, &line, Source::one(piece.file, piece.start, piece.end));
            return self.publish_dead(piece, &dead).await;
        }
        self.sent(piece, bytes, EVENTS, ack);
    }

    async fn publish_dead(&mut self, piece: Piece, dead: &DeadLetter) {
        let Some(file) = self.files.get(&piece.key) else { return };
        let (Some(announce), attempt) = (file.announcement(), file.attempt(piece.start)) else { return };
        metrics::counter!("cowriestream_loader_dead_letters_total", "reason" => dead.reason.as_str()).increment(1);
        tracing::debug!(path = %announce.path, offset = piece.start, reason = dead.reason.as_str(), "kept as a dead letter");
        let mut ack = self.bus.publish_dead(dead, &announce, attempt).await;
        if matches!(ack, Err(PublishError::TooLarge)) {
            let without_body = DeadLetter { body: Vec::new(), ..dead.clone() };
            ack = self.bus.publish_dead(&without_body, &announce, attempt).await;
        }
        self.sent(piece, dead.body.len() as u64, DEAD, ack);
    }

    /// Notes a message in flight. One that could not even be handed over fails in its turn.
    fn sent(&mut self, piece: Piece, bytes: u64, stream: usize, ack: Result<bus::Ack, PublishError>) {
        let ack = ack.unwrap_or_else(|error| {
            self.resting_until = Instant::now() + PAUSE;
            Box::pin(std::future::ready(Err(error)))
        });
        self.flight.push(Sent { file: piece.key, turn: piece.turn, start: piece.start, bytes, stream, at: Instant::now(), ack });
        if self.files.get(&piece.key).is_some_and(|file| file.attempt(piece.start) > 0) {
            self.statistics.republished();
        }
    }

    /// Publishes that bytes which were published, and lost, can no longer be read.
    pub async fn publish_gap(&mut self, key: u64) {
        let Some(file) = self.files.get_mut(&key) else { return };
        let (Some((id, _)), Some((start, end))) = (file.identity, file.segments.join()) else { return };
        let missing = file.done.missing(start, end);
        if missing.is_empty() {
            return;
        }
        let detail =
            format!("{} can no longer be read; the broker lost these bytes before they were committed. A rotated copy may hold them", file.path.display());
        let dead = DeadLetter::gap(self.sensor.clone(), detail, Source { files: vec![(id, missing)] });
        if !std::mem::replace(&mut file.gap_told, true) {
            tracing::warn!(path = %file.path.display(), bytes = dead.length, "lost for good: published, lost by the broker, and no longer in the log");
            self.statistics.gap(dead.length);
        }
        let piece = Piece { key, turn: file.turn, file: id, start, end };
        self.publish_dead(piece, &dead).await;
    }

    /// Takes the pieces without newline at the end of files to which nothing will be added.
    pub async fn finish_files(&mut self) {
        let (once, close_after) = (self.once, self.tuning.close_after());
        let due = |file: &Tracked| {
            let quiet = file.quiet_since.map_or(Duration::ZERO, |since| since.elapsed());
            let closed = file.compressed || (once && quiet >= ONCE_PATIENCE) || (!file.live && quiet >= close_after);
            !file.ready && !file.ended && !file.gone && file.quiet_since.is_some() && file.reader.unfinished().is_some() && closed
        };
        let keys: Vec<_> = self.files.iter().filter(|(_, file)| due(file)).map(|(key, _)| *key).collect();
        for key in keys {
            self.make_room().await;
            if !self.may_read() {
                return;
            }
            let Some(file) = self.files.get_mut(&key).filter(|file| due(file)) else { continue };
            file.ended = true;
            if let Some(item) = file.reader.finish() {
                self.publish_item(key, item, true).await;
            }
        }
        self.finish_complete();
    }

    /// Notes which files are wholly committed, and closes those that nobody seems to write.
    pub fn finish_complete(&mut self) {
        for file in self.files.values_mut().filter(|file| file.complete.is_none() && !file.gone) {
            let read_to_end = file.quiet_since.is_some() && !file.ready && file.reader.unfinished().is_none();
            let stamp = file.input.as_ref().and_then(|input| input.metadata().ok()).map_or(file.stamp, |meta| Stamp::of(&meta));
            let all = file.compressed || file.reader.at() == stamp.size;
            if read_to_end && all && file.segments.is_empty() {
                file.complete = Some(stamp);
                file.stamp = stamp;
                self.dirty = true;
            }
        }
        for file in self.files.values_mut().filter(|file| file.complete.is_some() && !file.ready) {
            if !file.live || file.quiet_since.is_some_and(|since| since.elapsed() >= CLOSE_IDLE) {
                file.input = None;
            }
        }
    }

    /// Takes in that the committed prefix may have moved.
    fn commit(&mut self, key: u64) {
        if let Some(file) = self.files.get_mut(&key) {
            self.dirty |= file.commit(&[]);
        }
    }

    fn count(&mut self, key: u64, item: &Item, envelope: Option<&Envelope>) {
        let Some(file) = self.files.get_mut(&key) else { return };
        if item.end() > file.counted {
            self.statistics.count(item, envelope, file.counted);
            file.counted = item.end();
        }
    }
}
