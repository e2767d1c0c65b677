//! `verify`: an independent recount of files against the database.

mod files;
mod lines;
mod report;

use std::{
    collections::{BTreeSet, HashMap},
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::Context as _;
use events::{DeadId, EventId, FileId, MAX_LINE, Record, SensorId, Unusable, repair};
use loader::DropSpec;
use store::{Connection, Store, verify as db};

use crate::{
    logs::{FilesArgs, SensorFiles},
    target::Target,
};
use files::Found;
use lines::{Line, Lines};
use report::Report;

/// Events compared in one query.
const CHUNK: usize = 2_000;
/// Sessions recounted in one query.
const SESSIONS: usize = 200;

/// `cowriestream verify`
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = "Examples:
  cowriestream verify --log /srv/cowrie/var/log/cowrie/cowrie.json
  cowriestream verify --log fra-1='/backup/fra-1/cowrie.json*' --json

Exit status: 0 when the database holds exactly what the files say, 1 when anything is missing, extra or wrong.")]
pub struct Args {
    #[command(flatten)]
    logs: FilesArgs,
    #[command(flatten)]
    target: Target,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    /// Event ids that the loader is told to drop; as its --drop
    #[arg(long = "drop", env = "COWRIESTREAM_DROP", value_delimiter = ',', value_name = "[SENSOR=]EVENT")]
    drops: Vec<DropSpec>,
    /// The files were loaded with --expand-arrays
    #[arg(long)]
    expand_arrays: bool,
    /// Name at most this many rows of each kind
    #[arg(long, default_value_t = 100, value_name = "N")]
    show: usize,
}

/// Recounts and prints; whether everything agrees.
pub async fn run(args: Args) -> anyhow::Result<bool> {
    let sensors = args.logs.resolve()?;
    let store = Store::connect(&args.target.store()?).await?;
    let mut connection = store.connection().await?;
    store::unhurried(&mut connection).await?;
    let mut report = Report::new(args.show);
    for files in sensors {
        verify_sensor(&mut connection, &args, &files, &mut report).await?;
    }
    verify_windows(&store, &mut report).await?;
    verify_features(&store, &mut report).await?;
    report.print(args.json)?;
    Ok(report.agrees())
}

/// Recounts the panes of every day from its events, all sensors together.
async fn verify_windows(store: &Store, report: &mut Report) -> anyhow::Result<()> {
    let mut transaction = store.begin_reading().await?;
    report.window_days_to_add = store::backfill_left(&mut transaction).await?;
    for day in store::recountable_days(&mut transaction).await? {
        for difference in store::pane_differences(&mut transaction, day).await? {
            report.wrong(format!("{day}: {difference}"));
        }
    }
    Ok(())
}

/// Computes the features of every session once more, all sensors together.
async fn verify_features(store: &Store, report: &mut Report) -> anyhow::Result<()> {
    let mut transaction = store.begin_reading().await?;
    let mut after = store::SessionKey::default();
    let finished = store::sessions_left(&mut transaction).await? == 0;
    while let Some(found) = store::feature_differences(&mut transaction, &after).await? {
        if finished {
            found.outdated.into_iter().for_each(|(sensor, session)| report.wrong(format!("features of session {session} of {sensor}: no row")));
        } else {
            report.features_to_add += found.outdated.len() as u64;
        }
        found.wrong.into_iter().for_each(|difference| report.wrong(difference));
        after = found.last;
    }
    for (sensor, session) in store::orphaned_features(&mut transaction).await? {
        report.wrong(format!("features of session {session} of {sensor}: a row without a session"));
    }
    Ok(())
}

/// What the files of one sensor say.
#[derive(Default)]
struct Counted {
    /// Event ids with nothing more: memory must hold all of them.
    events: BTreeSet<EventId>,
    dead: HashMap<DeadId, String>,
    sessions: BTreeSet<String>,
    files: Vec<Found>,
    /// Last lines without newline, and first lines, that are no events: halves, perhaps.
    heads: Vec<(Place, Line)>,
    tails: Vec<(Place, Line)>,
    drops: Vec<DropSpec>,
    expand_arrays: bool,
}

async fn verify_sensor(on: &mut Connection, args: &Args, files: &SensorFiles, report: &mut Report) -> anyhow::Result<()> {
    let mut counted = Counted { drops: args.drops.clone(), expand_arrays: args.expand_arrays, ..Counted::default() };
    for path in &files.paths {
        match read_file(on, &files.sensor, path, &mut counted, report).await {
            Ok(found) => counted.files.push(found),
            // A file that is refused is named; the others are verified.
            Err(error) if error.downcast_ref::<std::io::Error>().is_some() => report.unread(format!("{}: {error}", path.display())),
            Err(error) => return Err(error).with_context(|| format!("verify {}", path.display())),
        }
    }
    stitch(on, &files.sensor, &mut counted, report).await?;
    let dead: Vec<_> = counted.dead.keys().copied().collect();
    for id in db::stored_dead(on, &dead).await? {
        counted.dead.remove(&id);
    }
    for (id, place) in &counted.dead {
        report.missing(format!("dead letter {id} ({place})"));
    }
    find_extra(on, &files.sensor, &counted, report).await?;
    recount(on, &files.sensor, &counted, report).await
}

/// Reads one file and compares its events as it goes. Halves of events are left for [`stitch`].
async fn read_file(on: &mut Connection, sensor: &SensorId, path: &Path, counted: &mut Counted, report: &mut Report) -> anyhow::Result<Found> {
    let mut lines = Lines::open(path)?;
    let mut found = Found::start(path)?;
    let mut chunk = Vec::with_capacity(CHUNK);
    let written = path.metadata()?.modified()?;
    let mut first = true;
    report.files += 1;
    while let Some(line) = lines.next()? {
        report.bytes += line.leading + line.length;
        report.skipped_bytes += line.leading;
        found.saw(&line);
        if line.is_blank() {
            report.skipped_bytes += line.length;
            continue;
        }
        report.lines += 1;
        let first = std::mem::replace(&mut first, false);
        let place = Place { path: path.to_owned(), written, offset: line.offset, closed: lines.closed() };
        match said(sensor, &line, counted.expand_arrays) {
            None if !line.ended => counted.heads.push((place, line)),
            None if first => counted.tails.push((place, line)),
            None => counted.unusable(sensor, &place, &line, report),
            Some(said) => {
                for (said, bytes) in said {
                    chunk.extend(counted.take(sensor, said, bytes, &place, report));
                }
            }
        }
        if chunk.len() >= CHUNK {
            compare(on, sensor, std::mem::take(&mut chunk), counted, report).await?;
        }
    }
    if let Some(damage) = lines.damage() {
        report.unread(format!("{}: damaged or cut off, read up to byte {}: {damage}", path.display(), found.length()));
    }
    compare(on, sensor, chunk, counted, report).await?;
    found.resolve(on, sensor).await?;
    Ok(found)
}

/// Something that a line says, with the hash of its text.
enum Said {
    Event(Box<Record>, [u8; 32]),
    Nothing([u8; 32]),
}

/// The events on a line, what stands beside them, and the bytes of each; `None` when there is no event on it.
fn said(sensor: &SensorId, line: &Line, expand_arrays: bool) -> Option<Vec<(Said, u64)>> {
    if line.bytes.len() > MAX_LINE {
        return None;
    }
    let read = |text: &[u8]| {
        let hash = *blake3::hash(text).as_bytes();
        Record::read(sensor, text).map_or(Said::Nothing(hash), |record| Said::Event(Box::new(record), hash))
    };
    let parts = match Record::read(sensor, &line.bytes) {
        Ok(record) => return Some(vec![(Said::Event(Box::new(record), line.hash), line.length)]),
        Err(Unusable::NotAnObject) if expand_arrays => repair::elements(&line.bytes)?,
        Err(Unusable::NotJson(_) | Unusable::NotUtf8(_)) => repair::glued(&line.bytes),
        Err(_) => return None,
    };
    let (mut at, count) = (0, parts.len());
    let one = |(n, part): (usize, repair::Part)| {
        let end = if n + 1 == count { line.length } else { part.end as u64 };
        let bytes = end - std::mem::replace(&mut at, end);
        (read(&line.bytes[part.text]), bytes)
    };
    (count > 0).then(|| parts.into_iter().enumerate().map(one).collect())
}

/// Where a line stands.
struct Place {
    path: PathBuf,
    /// When the file was last written.
    written: SystemTime,
    offset: u64,
    /// Nothing will be added to the file.
    closed: bool,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at byte {}", self.path.display(), self.offset)
    }
}

impl Counted {
    /// Takes in what a line says; an event is to be compared.
    fn take(&mut self, sensor: &SensorId, said: Said, bytes: u64, place: &Place, report: &mut Report) -> Option<Read> {
        match said {
            Said::Event(record, _) if self.drops.iter().any(|spec| spec.matches(sensor, &record.eventid)) => {
                report.dropped_bytes += bytes;
                None
            }
            Said::Event(record, hash) => {
                report.event_bytes += bytes;
                self.events.insert(record.id);
                self.sessions.extend(record.session.clone());
                Some(Read { record: *record, place: place.to_string(), dead: DeadId::of(sensor, &hash) })
            }
            Said::Nothing(hash) => {
                report.dead_bytes += bytes;
                self.dead.insert(DeadId::of(sensor, &hash), place.to_string());
                None
            }
        }
    }

    fn unusable(&mut self, sensor: &SensorId, place: &Place, line: &Line, report: &mut Report) {
        report.dead_bytes += line.length;
        self.dead.insert(DeadId::of(sensor, &line.hash), place.to_string());
    }
}

/// Puts together the halves of events that Cowrie tore apart at a rotation. What stays alone is unusable, or unfinished.
async fn stitch(on: &mut Connection, sensor: &SensorId, counted: &mut Counted, report: &mut Report) -> anyhow::Result<()> {
    let (heads, mut tails) = (std::mem::take(&mut counted.heads), std::mem::take(&mut counted.tails));
    for (place, head) in heads {
        // The files come in the order in which they were last written: the nearest one after is right.
        let mut later = tails.iter().enumerate().filter(|(_, (tail, _))| tail.written >= place.written && tail.path != place.path);
        let whole = later.find_map(|(n, (_, tail))| Some((n, repair::stitched(&head.bytes, &tail.bytes)?)));
        if let Some((n, text)) = whole {
            let (_, tail) = tails.remove(n);
            let record = Record::read(sensor, &text).context("read an event put together")?;
            let event = Said::Event(Box::new(record), *blake3::hash(&text).as_bytes());
            let read = counted.take(sensor, event, head.length + tail.length, &place, report);
            compare(on, sensor, read.into_iter().collect(), counted, report).await?;
        } else if !place.closed && db::stored_dead(on, &[DeadId::of(sensor, &head.hash)]).await?.is_empty() {
            report.unfinished(place.to_string());
            report.unfinished_bytes += head.length;
        } else {
            counted.unusable(sensor, &place, &head, report);
        }
    }
    for (place, tail) in tails {
        counted.unusable(sensor, &place, &tail, report);
    }
    Ok(())
}

/// An event read from a file, and the dead letter it would be had the database refused it.
struct Read {
    record: Record,
    place: String,
    dead: DeadId,
}

/// Reports events that are missing or that say something else than their line.
async fn compare(on: &mut Connection, sensor: &SensorId, chunk: Vec<Read>, counted: &mut Counted, report: &mut Report) -> anyhow::Result<()> {
    report.events += chunk.len() as u64;
    let records: Vec<_> = chunk.iter().map(|read| &read.record).collect();
    let stored = db::stored_events(on, sensor, &records).await?;
    let absent: Vec<_> = chunk.iter().filter(|read| !stored.contains_key(&read.record.id)).map(|read| read.dead).collect();
    let refused: BTreeSet<_> = if absent.is_empty() { BTreeSet::new() } else { db::stored_dead(on, &absent).await?.into_iter().collect() };
    for Read { record, place, dead } in &chunk {
        let name = || format!("event {} ({place}, {})", record.id, record.eventid);
        match stored.get(&record.id) {
            Some(true) => (),
            Some(false) => report.wrong(format!("{}: a column differs from the line", name())),
            None if refused.contains(dead) => {
                report.rejected += 1;
                counted.events.remove(&record.id);
            }
            None => report.missing(name()),
        }
    }
    Ok(())
}

/// Events that are stored as coming from these files, or from nowhere, and are not in them.
async fn find_extra(on: &mut Connection, sensor: &SensorId, counted: &Counted, report: &mut Report) -> anyhow::Result<()> {
    let bounds: HashMap<FileId, Option<u64>> = counted.files.iter().flat_map(|found| found.known.iter().copied()).collect();
    let files: Vec<_> = bounds.keys().copied().collect();
    let mut after = EventId([0; 16]);
    loop {
        let page = db::events_under(on, sensor, &files, after, 20_000).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.event;
        for origin in page {
            let bound = origin.file.and_then(|file| bounds.get(&file).copied().flatten());
            let beyond = bound.zip(origin.offset).is_some_and(|(end, offset)| offset as u64 >= end);
            if beyond || counted.events.contains(&origin.event) {
                continue;
            }
            report.extra(format!("event {} ({}, session {})", origin.event, origin.eventid, origin.session.as_deref().unwrap_or("none")));
        }
    }
}

/// Every derived row that these files touch, against its recount from the stored events.
async fn recount(on: &mut Connection, sensor: &SensorId, counted: &Counted, report: &mut Report) -> anyhow::Result<()> {
    let sessions: Vec<_> = counted.sessions.iter().cloned().collect();
    report.sessions += sessions.len() as u64;
    for some in sessions.chunks(SESSIONS) {
        let mut rows: HashMap<_, _> = db::session_rows(on, sensor, some).await?.into_iter().map(|row| (row.session.clone(), row)).collect();
        for (session, delta) in db::recount_sessions(on, sensor, some).await? {
            let Some(row) = rows.remove(&session) else {
                report.wrong(format!("session {session}: no row"));
                continue;
            };
            for difference in row.differences(&db::SessionRow::of(&delta)) {
                report.wrong(format!("session {session}: {difference}"));
            }
        }
    }
    for session in db::orphaned_sessions(on, sensor).await? {
        report.wrong(format!("session {session}: a row without events"));
    }
    for row in db::wrong_side_rows(on, sensor).await? {
        report.wrong(row);
    }
    let (stored, recounted) = db::recount_sensor(on, sensor).await?;
    match stored {
        Some(stored) if stored == recounted => (),
        None if recounted.event_count == 0 => (),
        stored => report.wrong(format!("sensor {sensor}: row is {stored:?}, recounted {recounted:?}")),
    }
    Ok(())
}
