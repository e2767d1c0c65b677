//! Reads the files of one sensor, and compares their events while reading.

use std::{
    collections::{BTreeSet, HashMap},
    fs::File,
    io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::Context as _;
use events::{DeadId, EventId, Record, SensorId, repair};
use loader::DropSpec;
use store::{
    Connection,
    verify::{self as db, Span},
};

use super::{
    content::{Content, ParsedEvent, contents},
    files::Found,
    lines::{Line, Lines},
    pending::Pending,
    report::Report,
};
use crate::logs::SensorFiles;

/// Events compared in one query.
const CHUNK: usize = 2_000;
/// How often the logs are listed again, because some may be rotated meanwhile.
const ROUNDS: usize = 4;

/// The content of the files of one sensor.
pub(super) struct Counted {
    pub sensor: SensorId,
    pub span: Span,
    /// Only the ids, because memory must hold all of them.
    pub events: BTreeSet<EventId>,
    /// The time of the oldest event.
    pub oldest: Option<i64>,
    pub sessions: BTreeSet<String>,
    pub files: Vec<Found>,
    pub pending: Pending,
    dead: HashMap<DeadId, Place>,
    /// Last lines without newline, and first lines, that are not events. They may be halves of events.
    heads: Vec<(Place, Line)>,
    tails: Vec<(Place, Line)>,
    drops: Vec<DropSpec>,
    expand_arrays: bool,
}

/// The position of a line.
#[derive(Clone, Debug)]
pub(super) struct Place {
    path: PathBuf,
    written: SystemTime,
    /// Index of the file.
    pub file: usize,
    pub offset: u64,
    pub end: u64,
    /// The line may be continued: it has no newline, and the file may grow.
    unfinished: bool,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at byte {}", self.path.display(), self.offset)
    }
}

pub(super) struct Read {
    pub parsed: Box<ParsedEvent>,
    pub place: Place,
    bytes: u64,
}

impl Read {
    /// A description for people.
    pub fn name(&self) -> String {
        format!("event {} ({}, {})", self.parsed.record.id, self.place, self.parsed.record.eventid)
    }
}

/// How the database has an event that was read.
pub(super) enum Verdict {
    Stored,
    /// Stored under the id that version 1 of the repair gave it.
    StoredEarlier,
    /// Stored, but a column differs from the line.
    Differs,
    /// Refused by the database, and stored as a dead letter.
    Refused,
    Absent,
}

impl Counted {
    pub fn new(sensor: SensorId, drops: Vec<DropSpec>, expand_arrays: bool, span: Span) -> Self {
        Self {
            sensor,
            span,
            events: BTreeSet::new(),
            oldest: None,
            sessions: BTreeSet::new(),
            files: Vec::new(),
            pending: Pending::default(),
            dead: HashMap::new(),
            heads: Vec::new(),
            tails: Vec::new(),
            drops,
            expand_arrays,
        }
    }

    /// Reads the files, and those that a rotation created meanwhile. `on` has its snapshot already.
    pub async fn read(
        &mut self,
        on: &mut Connection,
        files: &SensorFiles,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let mut places = BTreeSet::new();
        let mut refused = BTreeSet::new();
        let mut paths = files.paths.clone();
        for _ in 0..ROUNDS {
            let before = places.len();
            for path in &paths {
                let file = match loader::open_patiently(path) {
                    // It was renamed or deleted after it was listed.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => {
                        if refused.insert(path.clone()) {
                            report.unread(format!("{}: {error}", path.display()));
                        }
                        continue;
                    }
                    Ok(file) => file,
                };
                let found = Found::start(path, &file)?;
                if !places.insert(found.place()) {
                    continue;
                }
                match self.read_file(on, path, file, found, report).await {
                    // A file that cannot be read is reported; the others are still verified.
                    Err(error) if error.downcast_ref::<io::Error>().is_some() => {
                        report.unread(format!("{}: {error}", path.display()))
                    }
                    outcome => outcome.with_context(|| format!("verify {}", path.display()))?,
                }
            }
            if places.len() == before {
                break;
            }
            paths = files.now()?;
        }
        anyhow::ensure!(
            !places.is_empty() || !refused.is_empty(),
            "every log disappeared before it could be read"
        );
        self.stitch(on, report).await?;
        self.compare_dead(on, report).await
    }

    /// Reads one file and compares its events. Half lines are left for [`Self::stitch`].
    async fn read_file(
        &mut self,
        on: &mut Connection,
        path: &Path,
        file: File,
        found: Found,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let (number, written) = (self.files.len(), found.written);
        self.files.push(found);
        let mut lines = Lines::of(file)?;
        let mut chunk = Vec::with_capacity(CHUNK);
        let mut first = true;
        report.files += 1;
        while let Some(line) = lines.next()? {
            report.bytes += line.leading + line.length;
            report.skipped_bytes += line.leading;
            if self.files[number].add_line(&line) {
                self.files[number].resolve(on, &self.sensor).await?;
            }
            if line.is_blank() {
                report.skipped_bytes += line.length;
                continue;
            }
            report.lines += 1;
            let first = std::mem::replace(&mut first, false);
            let (offset, end) = (line.offset, line.offset + line.length);
            let place = Place {
                path: path.to_owned(),
                written,
                file: number,
                offset,
                end,
                unfinished: !line.ended && !lines.closed(),
            };
            match contents(&self.sensor, &line, self.expand_arrays) {
                None if !line.ended => self.heads.push((place, line)),
                None if first => self.tails.push((place, line)),
                None => self.unusable(place, &line, report),
                Some(contents) => {
                    for (content, bytes) in contents {
                        chunk.extend(self.take(content, bytes, &place, report));
                    }
                }
            }
            if chunk.len() >= CHUNK {
                self.compare(on, std::mem::take(&mut chunk), report).await?;
            }
        }
        if let Some(damage) = lines.damage() {
            let read = self.files[number].length();
            report
                .unread(format!("{}: damaged or cut off, read up to byte {read}: {damage}", path.display()));
        }
        self.compare(on, chunk, report).await?;
        // No line has found the file in the database: find it by its path.
        if first {
            self.files[number].resolve(on, &self.sensor).await?;
        }
        Ok(())
    }

    /// Counts a part of a line; returns an event that must be compared.
    fn take(&mut self, content: Content, bytes: u64, place: &Place, report: &mut Report) -> Option<Read> {
        match content {
            Content::Event(parsed)
                if self.drops.iter().any(|spec| spec.matches(&self.sensor, &parsed.record.eventid)) =>
            {
                report.dropped_bytes += bytes;
                None
            }
            Content::Event(parsed) => {
                report.event_bytes += bytes;
                self.events.extend(parsed.ids());
                let ts = parsed.record.ts;
                self.oldest = [self.oldest, ts].into_iter().flatten().min();
                if !self.span.contains(ts) {
                    report.outside += 1;
                    return None;
                }
                self.sessions.extend(parsed.record.session.clone());
                Some(Read { parsed, place: place.clone(), bytes })
            }
            Content::Unusable(hash) => {
                report.dead_bytes += bytes;
                self.dead.insert(DeadId::of(&self.sensor, &hash), place.clone());
                None
            }
        }
    }

    fn unusable(&mut self, place: Place, line: &Line, report: &mut Report) {
        report.dead_bytes += line.length;
        self.dead.insert(DeadId::of(&self.sensor, &line.hash), place);
    }

    /// Stitches the halves of events that Cowrie split at a rotation. A half without counterpart is unusable,
    /// or unfinished.
    async fn stitch(&mut self, on: &mut Connection, report: &mut Report) -> anyhow::Result<()> {
        let (heads, mut tails) = (std::mem::take(&mut self.heads), std::mem::take(&mut self.tails));
        tails.sort_by(|(a, _), (b, _)| (a.written, &a.path).cmp(&(b.written, &b.path)));
        for (place, head) in heads {
            // The tails are sorted by the time of the last write: the first one that fits is right.
            let mut later = tails
                .iter()
                .enumerate()
                .filter(|(_, (tail, _))| tail.written >= place.written && tail.path != place.path);
            let whole = later.find_map(|(n, (_, tail))| {
                Some((n, repair::stitched(&head.bytes, &tail.bytes)?, tail.bytes.len() - tail.text().len()))
            });
            if let Some((n, whole, returns)) = whole {
                let (_, tail) = tails.remove(n);
                let parsed = ParsedEvent::read(&self.sensor, &whole[..whole.len() - returns], &whole)
                    .context("parse a stitched event")?;
                let read = self.take(
                    Content::Event(Box::new(parsed)),
                    head.length + tail.length,
                    &Place { unfinished: false, ..place },
                    report,
                );
                self.compare(on, read.into_iter().collect(), report).await?;
            } else if place.unfinished
                && db::stored_dead(on, &[DeadId::of(&self.sensor, &head.hash)]).await?.is_empty()
            {
                report.unfinished(place.to_string());
                report.unfinished_bytes += head.length;
            } else {
                self.unusable(place, &head, report);
            }
        }
        for (place, tail) in tails {
            self.unusable(place, &tail, report);
        }
        Ok(())
    }

    /// Reports events that are missing or differ from their line. Events that are not committed stay pending.
    async fn compare(
        &mut self,
        on: &mut Connection,
        chunk: Vec<Read>,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        report.events += chunk.len() as u64;
        let verdicts = judge(on, &self.sensor, &chunk).await?;
        for (read, verdict) in chunk.into_iter().zip(verdicts) {
            match verdict {
                Verdict::Stored => (),
                Verdict::StoredEarlier => report.earlier += 1,
                Verdict::Differs => report.wrong(format!("{}: a column differs from the line", read.name())),
                Verdict::Refused => {
                    report.rejected += 1;
                    for id in read.parsed.ids() {
                        self.events.remove(&id);
                    }
                }
                Verdict::Absent
                    if self.files[read.place.file].is_committed(read.place.offset, read.place.end) =>
                {
                    report.missing(read.name())
                }
                Verdict::Absent if read.place.unfinished => {
                    report.event_bytes -= read.bytes;
                    report.unfinished_bytes += read.bytes;
                    report.unfinished(read.place.to_string());
                }
                Verdict::Absent => self.pending.event(read),
            }
        }
        Ok(())
    }

    /// Reports missing dead letters. Those that are not committed stay pending.
    async fn compare_dead(&mut self, on: &mut Connection, report: &mut Report) -> anyhow::Result<()> {
        let mut dead = std::mem::take(&mut self.dead);
        let ids: Vec<_> = dead.keys().copied().collect();
        for id in db::stored_dead(on, &ids).await? {
            dead.remove(&id);
        }
        for (id, place) in dead {
            if self.files[place.file].is_committed(place.offset, place.end) {
                report.missing(format!("dead letter {id} ({place})"));
            } else {
                self.pending.dead(id, place);
            }
        }
        Ok(())
    }
}

/// Looks up each of these events in the database.
pub(super) async fn judge(
    on: &mut Connection,
    sensor: &SensorId,
    reads: &[Read],
) -> anyhow::Result<Vec<Verdict>> {
    let records: Vec<&Record> = reads.iter().map(|read| &read.parsed.record).collect();
    let stored = db::stored_events(on, sensor, &records).await?;
    let absent: Vec<&Read> =
        reads.iter().filter(|read| !stored.contains_key(&read.parsed.record.id)).collect();
    let earlier: Vec<&Record> = absent.iter().filter_map(|read| read.parsed.earlier.as_ref()).collect();
    let earlier =
        if earlier.is_empty() { HashMap::new() } else { db::stored_events(on, sensor, &earlier).await? };
    let dead: Vec<_> = absent.iter().map(|read| read.parsed.dead).collect();
    let refused: BTreeSet<_> = if dead.is_empty() {
        BTreeSet::new()
    } else {
        db::stored_dead(on, &dead).await?.into_iter().collect()
    };
    let verdict = |read: &Read| {
        let earlier = || read.parsed.earlier.as_ref().and_then(|record| earlier.get(&record.id));
        match (stored.get(&read.parsed.record.id), earlier()) {
            (Some(true), _) => Verdict::Stored,
            (None, Some(true)) => Verdict::StoredEarlier,
            (Some(false), _) | (None, Some(false)) => Verdict::Differs,
            (None, None) if refused.contains(&read.parsed.dead) => Verdict::Refused,
            (None, None) => Verdict::Absent,
        }
    };
    Ok(reads.iter().map(verdict).collect())
}
