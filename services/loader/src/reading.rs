//! Reading and publishing: a bounded piece of one file at a time.

use std::{io, time::Instant};

use bus::{EventMessage, PublishError};
use events::{DeadLetter, Envelope, EventId, EventName, FileId, Reason, Source, line::Item};

use crate::{
    checkpoint::{LastLine, Stamp},
    tailer::{DEAD, EVENTS, InFlight, Tailer},
    tracked::content,
};

/// In `once` mode: how long a last line without newline is given to be completed.
const ONCE_PATIENCE: std::time::Duration = std::time::Duration::from_secs(2);

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
        let read = self.read_from(key, &mut buffer);
        let outcome = match read {
            Ok(0) => {
                self.end_reached(key);
                Ok(())
            }
            Ok(read) => self.publish_chunk(key, &buffer[..read]).await,
            Err(error) => {
                self.unreadable(key, &error);
                Ok(())
            }
        };
        self.buffer = buffer;
        outcome.map(|()| true)
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

    fn read_from(&mut self, key: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(file) = self.files.get_mut(&key) else { return Ok(0) };
        if file.was_truncated() {
            self.truncated(key);
            return Err(io::Error::other("truncated"));
        }
        self.files.get_mut(&key).map_or(Ok(0), |file| file.open()?.read(buffer))
    }

    /// At the end: an archive is finished at once, anything else when it stays quiet.
    fn end_reached(&mut self, key: u64) {
        let Some(file) = self.files.get_mut(&key) else { return };
        file.ready = false;
        file.quiet_since.get_or_insert_with(Instant::now);
    }

    fn unreadable(&mut self, key: u64, error: &io::Error) {
        let Some(file) = self.files.get_mut(&key) else { return };
        file.ready = false;
        match error.kind() {
            io::ErrorKind::NotFound => {
                tracing::info!(path = %file.path.display(), "the file went away before it was read");
                self.lose(key);
            }
            _ if error.to_string() == "truncated" => (),
            _ => tracing::warn!(path = %file.path.display(), %error, "could not read, trying again"),
        }
    }

    async fn publish_chunk(&mut self, key: u64, mut chunk: &[u8]) -> anyhow::Result<()> {
        let Some(turn) = self.files.get_mut(&key).map(|file| {
            file.quiet_since = None;
            file.ended = false;
            file.turn
        }) else {
            return Ok(());
        };
        loop {
            // Going back (a failed publish) makes the rest of the chunk void.
            let Some(file) = self.files.get_mut(&key).filter(|file| file.turn == turn) else { return Ok(()) };
            let Some(item) = file.reader.next(&mut chunk) else { return Ok(()) };
            self.publish_item(key, item, false).await?;
        }
    }

    /// Publishes a line, unless its bytes are committed already. `cut` marks a last line without newline.
    async fn publish_item(&mut self, key: u64, item: Item, cut: bool) -> anyhow::Result<()> {
        self.make_room().await;
        let sensor = self.sensor.clone();
        let Some(file) = self.files.get_mut(&key) else { return Ok(()) };
        if item.end() <= file.covered {
            return Ok(());
        }
        let Some(id) = file.identify(&item) else {
            self.count(key, &item, None);
            return Ok(());
        };
        if matches!(item, Item::Skipped { .. }) {
            self.count(key, &item, None);
            return Ok(());
        }
        let first = match &item {
            Item::Line { start, .. } | Item::TooLong { start, .. } | Item::Skipped { start, .. } => *start,
        };
        let hash = EventId::of(&sensor, content(&item));
        let piece = Piece { key, turn: file.turn, file: id, start: file.covered, end: item.end() };
        let committed = file.done.contains(piece.start, piece.end);
        file.covered = piece.end;
        file.segments.add(piece.start, piece.end, LastLine { start: first, end: piece.end, hash }, !committed);
        let envelope = match &item {
            Item::Line { bytes, .. } => Envelope::read(bytes).map_err(Some),
            Item::TooLong { .. } | Item::Skipped { .. } => Err(None),
        };
        self.count(key, &item, envelope.as_ref().ok());
        if committed {
            self.commit(key);
            return Ok(());
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
            (Item::Skipped { .. }, _) => return Ok(()),
        };
        self.publish_dead(piece, &dead).await
    }

    async fn publish_event(&mut self, piece: Piece, line: Vec<u8>, envelope: &Envelope, id: EventId) -> anyhow::Result<()> {
        let Some(file) = self.files.get_mut(&piece.key) else { return Ok(()) };
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
        match self.bus.publish_event(&self.sensor, message).await {
            Ok(ack) => self.sent(piece, bytes, EVENTS, ack),
            Err(PublishError::TooLarge) => {
                let detail = "larger than the broker's max_payload".to_owned();
                let dead = DeadLetter::of_line(self.sensor.clone(), Reason::TooLong, detail, &line, Source::one(piece.file, piece.start, piece.end));
                return self.publish_dead(piece, &dead).await;
            }
            Err(error) => self.not_published(piece.key, piece.turn, piece.start, &error),
        }
        Ok(())
    }

    async fn publish_dead(&mut self, piece: Piece, dead: &DeadLetter) -> anyhow::Result<()> {
        let Some(file) = self.files.get(&piece.key) else { return Ok(()) };
        let (Some(announce), attempt) = (file.announcement(), file.attempt(piece.start)) else { return Ok(()) };
        metrics::counter!("cowriestream_loader_dead_letters_total", "reason" => dead.reason.as_str()).increment(1);
        tracing::debug!(path = %announce.path, offset = piece.start, reason = dead.reason.as_str(), "kept as a dead letter");
        match self.bus.publish_dead(dead, &announce, attempt).await {
            Ok(ack) => self.sent(piece, dead.body.len() as u64, DEAD, ack),
            Err(error) => self.not_published(piece.key, piece.turn, piece.start, &error),
        }
        Ok(())
    }

    fn sent(&mut self, piece: Piece, bytes: u64, stream: usize, ack: bus::Ack) {
        self.in_flight_bytes += bytes;
        self.in_flight.push_back(InFlight { file: piece.key, turn: piece.turn, start: piece.start, bytes, stream, ack });
        if self.files.get(&piece.key).is_some_and(|file| file.attempt(piece.start) > 0) {
            self.statistics.republished();
        }
    }

    /// Publishes that bytes which were published, and lost, can no longer be read.
    pub async fn publish_gap(&mut self, key: u64) -> anyhow::Result<()> {
        let Some(file) = self.files.get_mut(&key) else { return Ok(()) };
        let (Some((id, _)), Some((start, end))) = (file.identity, file.segments.span()) else { return Ok(()) };
        let missing = file.done.missing(start, end);
        let detail = format!("{} can no longer be read; the broker lost these bytes before they were committed. A rotated copy may hold them", file.path.display());
        let dead = DeadLetter::gap(self.sensor.clone(), detail, Source { files: vec![(id, missing)] });
        self.statistics.gap(dead.length);
        let piece = Piece { key, turn: file.turn, file: id, start, end };
        self.publish_dead(piece, &dead).await
    }

    /// Takes the pieces without newline at the end of files to which nothing will be added.
    pub async fn finish_files(&mut self) -> anyhow::Result<()> {
        let (once, close_after) = (self.once, self.tuning.close_after());
        let due = |file: &crate::tracked::Tracked| {
            let quiet = file.quiet_since.map_or(std::time::Duration::ZERO, |since| since.elapsed());
            let closed = file.compressed || (once && quiet >= ONCE_PATIENCE) || (!file.live && quiet >= close_after);
            !file.ready && !file.ended && !file.gone && file.quiet_since.is_some() && file.reader.unfinished().is_some() && closed
        };
        let keys: Vec<_> = self.files.iter().filter(|(_, file)| due(file)).map(|(key, _)| *key).collect();
        for key in keys {
            if !self.bus.connected() || self.stream_missing {
                return Ok(());
            }
            let Some(item) = self.files.get_mut(&key).and_then(|file| {
                file.ended = true;
                file.reader.finish()
            }) else {
                continue;
            };
            self.publish_item(key, item, true).await?;
        }
        self.finish_complete();
        Ok(())
    }

    /// Notes which files are wholly committed, and closes those that are not live.
    pub fn finish_complete(&mut self) {
        for file in self.files.values_mut().filter(|file| file.complete.is_none() && !file.gone) {
            let read_to_end = file.quiet_since.is_some() && !file.ready && file.reader.unfinished().is_none();
            let stamp = file.input.as_ref().and_then(|input| input.metadata().ok()).map_or(file.stamp, |meta| Stamp::of(&meta));
            let all = file.compressed || file.reader.at() == stamp.size;
            if read_to_end && all && file.segments.is_empty() {
                file.complete = Some(stamp);
                file.stamp = stamp;
                self.dirty = true;
                if !file.live {
                    file.input = None;
                }
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
