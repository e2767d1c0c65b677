//! Reading the files of one sensor, and comparing their events as they come.

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
    files::Found,
    lines::{Line, Lines},
    pending::Pending,
    report::Report,
    said::{Said, Spoken, said},
};
use crate::logs::SensorFiles;

/// Events compared in one query.
const CHUNK: usize = 2_000;
/// How often the logs are looked for again, when some were rotated meanwhile.
const ROUNDS: usize = 4;

/// What the files of one sensor say.
pub(super) struct Counted {
    pub sensor: SensorId,
    pub span: Span,
    /// Event ids with nothing more: memory must hold all of them.
    pub events: BTreeSet<EventId>,
    /// The time of the oldest event.
    pub oldest: Option<i64>,
    pub sessions: BTreeSet<String>,
    pub files: Vec<Found>,
    pub pending: Pending,
    dead: HashMap<DeadId, Place>,
    /// Last lines without newline, and first lines, that are no events: halves, perhaps.
    heads: Vec<(Place, Line)>,
    tails: Vec<(Place, Line)>,
    drops: Vec<DropSpec>,
    expand_arrays: bool,
}

/// Where a line stands.
#[derive(Clone, Debug)]
pub(super) struct Place {
    path: PathBuf,
    /// When the file was last written.
    written: SystemTime,
    /// Which of the files.
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

/// An event read from a file.
pub(super) struct Read {
    pub spoken: Box<Spoken>,
    pub place: Place,
    bytes: u64,
}

impl Read {
    /// Its name for people.
    pub fn name(&self) -> String {
        format!("event {} ({}, {})", self.spoken.record.id, self.place, self.spoken.record.eventid)
    }
}

/// What the database says of an event that was read.
pub(super) enum Verdict {
    Stored,
    /// Under the identity that version 1 of the repair gave it.
    StoredEarlier,
    /// Stored, with a column that says something else.
    Differs,
    /// Refused by the database, and kept as a dead letter.
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

    /// Reads the files, and those that a rotation made of them meanwhile. `on` has its snapshot already.
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
                    // It was renamed or deleted since it was looked for.
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
                    // A file that is refused is named; the others are verified.
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
            "every log went away before it could be read"
        );
        self.stitch(on, report).await?;
        self.compare_dead(on, report).await
    }

    /// Reads one file and compares its events as it goes. Halves of events are left for [`Self::stitch`].
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
            if self.files[number].saw(&line) {
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
            match said(&self.sensor, &line, self.expand_arrays) {
                None if !line.ended => self.heads.push((place, line)),
                None if first => self.tails.push((place, line)),
                None => self.unusable(place, &line, report),
                Some(said) => {
                    for (said, bytes) in said {
                        chunk.extend(self.take(said, bytes, &place, report));
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
        // An empty file is found by its path.
        if first {
            self.files[number].resolve(on, &self.sensor).await?;
        }
        Ok(())
    }

    /// Takes in what a line says; an event that is to be compared is returned.
    fn take(&mut self, said: Said, bytes: u64, place: &Place, report: &mut Report) -> Option<Read> {
        match said {
            Said::Event(spoken)
                if self.drops.iter().any(|spec| spec.matches(&self.sensor, &spoken.record.eventid)) =>
            {
                report.dropped_bytes += bytes;
                None
            }
            Said::Event(spoken) => {
                report.event_bytes += bytes;
                self.events.extend(spoken.ids());
                let ts = spoken.record.ts;
                self.oldest = [self.oldest, ts].into_iter().flatten().min();
                if !self.span.contains(ts) {
                    report.outside += 1;
                    return None;
                }
                self.sessions.extend(spoken.record.session.clone());
                Some(Read { spoken, place: place.clone(), bytes })
            }
            Said::Nothing(hash) => {
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

    /// Puts together the halves of events that Cowrie tore apart at a rotation. What stays alone is unusable,
    /// or unfinished.
    async fn stitch(&mut self, on: &mut Connection, report: &mut Report) -> anyhow::Result<()> {
        let (heads, mut tails) = (std::mem::take(&mut self.heads), std::mem::take(&mut self.tails));
        tails.sort_by(|(a, _), (b, _)| (a.written, &a.path).cmp(&(b.written, &b.path)));
        for (place, head) in heads {
            // The files come in the order in which they were last written: the nearest one after is right.
            let mut later = tails
                .iter()
                .enumerate()
                .filter(|(_, (tail, _))| tail.written >= place.written && tail.path != place.path);
            let whole = later.find_map(|(n, (_, tail))| {
                Some((n, repair::stitched(&head.bytes, &tail.bytes)?, tail.bytes.len() - tail.text().len()))
            });
            if let Some((n, whole, returns)) = whole {
                let (_, tail) = tails.remove(n);
                let spoken = Spoken::read(&self.sensor, &whole[..whole.len() - returns], &whole)
                    .context("read an event put together")?;
                let read = self.take(
                    Said::Event(Box::new(spoken)),
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

    /// Reports events that are missing or that say something else than their line; what is not committed is
    /// left for later.
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
                    for id in read.spoken.ids() {
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

    /// Reports dead letters that are missing; what is not committed is left for later.
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

/// What the database says of each of these events.
pub(super) async fn judge(
    on: &mut Connection,
    sensor: &SensorId,
    reads: &[Read],
) -> anyhow::Result<Vec<Verdict>> {
    let records: Vec<&Record> = reads.iter().map(|read| &read.spoken.record).collect();
    let stored = db::stored_events(on, sensor, &records).await?;
    let absent: Vec<&Read> =
        reads.iter().filter(|read| !stored.contains_key(&read.spoken.record.id)).collect();
    let earlier: Vec<&Record> = absent.iter().filter_map(|read| read.spoken.earlier.as_ref()).collect();
    let earlier =
        if earlier.is_empty() { HashMap::new() } else { db::stored_events(on, sensor, &earlier).await? };
    let dead: Vec<_> = absent.iter().map(|read| read.spoken.dead).collect();
    let refused: BTreeSet<_> = if dead.is_empty() {
        BTreeSet::new()
    } else {
        db::stored_dead(on, &dead).await?.into_iter().collect()
    };
    let verdict = |read: &Read| {
        let earlier = || read.spoken.earlier.as_ref().and_then(|record| earlier.get(&record.id));
        match (stored.get(&read.spoken.record.id), earlier()) {
            (Some(true), _) => Verdict::Stored,
            (None, Some(true)) => Verdict::StoredEarlier,
            (Some(false), _) | (None, Some(false)) => Verdict::Differs,
            (None, None) if refused.contains(&read.spoken.dead) => Verdict::Refused,
            (None, None) => Verdict::Absent,
        }
    };
    Ok(reads.iter().map(verdict).collect())
}
