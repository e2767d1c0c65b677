//! `verify`: an independent recount of files against the database.

mod files;
mod lines;
mod report;

use std::collections::{BTreeSet, HashMap};

use anyhow::Context as _;
use events::{DeadId, EventId, FileId, MAX_LINE, Record, SensorId};
use store::{Connection, Store, verify as db};

use crate::{
    logs::{FilesArgs, SensorFiles},
    target::Target,
};
use files::Found;
use lines::Lines;
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
    /// Name at most this many rows of each kind
    #[arg(long, default_value_t = 100, value_name = "N")]
    show: usize,
}

/// Recounts and prints; whether everything agrees.
pub async fn run(args: Args) -> anyhow::Result<bool> {
    let sensors = args.logs.resolve()?;
    let store = Store::connect(&args.target.store()?).await?;
    let mut connection = store.connection().await?;
    let mut report = Report::new(args.show);
    for files in sensors {
        verify_sensor(&mut connection, &files, &mut report).await?;
    }
    report.print(args.json)?;
    Ok(report.agrees())
}

/// What the files of one sensor say.
#[derive(Default)]
struct Counted {
    /// Event ids with nothing more: memory must hold all of them.
    events: BTreeSet<EventId>,
    dead: HashMap<DeadId, String>,
    sessions: BTreeSet<String>,
    files: Vec<Found>,
}

async fn verify_sensor(on: &mut Connection, files: &SensorFiles, report: &mut Report) -> anyhow::Result<()> {
    let mut counted = Counted::default();
    for path in &files.paths {
        let found = read_file(on, &files.sensor, path, &mut counted, report).await.with_context(|| format!("verify {}", path.display()))?;
        counted.files.push(found);
    }
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

/// Reads one file and compares its events as it goes.
async fn read_file(on: &mut Connection, sensor: &SensorId, path: &std::path::Path, counted: &mut Counted, report: &mut Report) -> anyhow::Result<Found> {
    let mut lines = Lines::open(path)?;
    let mut found = Found::start(path)?;
    let mut chunk = Vec::with_capacity(CHUNK);
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
        let place = format!("{} at byte {}", path.display(), line.offset);
        let record = if line.bytes.len() > MAX_LINE { None } else { Record::read(sensor, &line.bytes).ok() };
        match record {
            Some(record) => {
                report.event_bytes += line.length;
                counted.events.insert(record.id);
                counted.sessions.extend(record.session.clone());
                chunk.push(Read { record, offset: line.offset, dead: DeadId::of(sensor, &line.hash) });
            }
            None if !line.ended && !lines.closed() && db::stored_dead(on, &[DeadId::of(sensor, &line.hash)]).await?.is_empty() => {
                report.unfinished(place);
                report.unfinished_bytes += line.length;
            }
            None => {
                report.dead_bytes += line.length;
                counted.dead.insert(DeadId::of(sensor, &line.hash), place);
            }
        }
        if chunk.len() == CHUNK {
            compare(on, sensor, path, std::mem::take(&mut chunk), counted, report).await?;
        }
    }
    compare(on, sensor, path, chunk, counted, report).await?;
    found.resolve(on, sensor).await?;
    Ok(found)
}

/// An event read from a file, and the dead letter it would be had the database refused it.
struct Read {
    record: Record,
    offset: u64,
    dead: DeadId,
}

/// Reports events that are missing or that say something else than their line.
async fn compare(
    on: &mut Connection,
    sensor: &SensorId,
    path: &std::path::Path,
    chunk: Vec<Read>,
    counted: &mut Counted,
    report: &mut Report,
) -> anyhow::Result<()> {
    report.events += chunk.len() as u64;
    let records: Vec<_> = chunk.iter().map(|read| &read.record).collect();
    let stored = db::stored_events(on, sensor, &records).await?;
    let absent: Vec<_> = chunk.iter().filter(|read| !stored.contains_key(&read.record.id)).map(|read| read.dead).collect();
    let refused: BTreeSet<_> = if absent.is_empty() { BTreeSet::new() } else { db::stored_dead(on, &absent).await?.into_iter().collect() };
    for Read { record, offset, dead } in &chunk {
        let name = || format!("event {} ({} at byte {offset}, {})", record.id, path.display(), record.eventid);
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
    let (stored, recounted) = db::recount_sensor(on, sensor).await?;
    match stored {
        Some(stored) if stored == recounted => (),
        None if recounted.event_count == 0 => (),
        stored => report.wrong(format!("sensor {sensor}: row is {stored:?}, recounted {recounted:?}")),
    }
    Ok(())
}
