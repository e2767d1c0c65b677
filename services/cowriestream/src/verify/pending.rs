//! Lines of the files that were not committed when `verify` began: waits for them.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use events::{DeadId, SensorId};
use store::{Connection, Store, verify as db};

use super::{
    files::Found,
    read::{Counted, Place, Read, Verdict, judge},
    report::Report,
};

/// Number of events that are kept for a later comparison. For further events only the place is kept.
const KEPT: usize = 50_000;
/// Interval of polling the database.
const PAUSE: Duration = Duration::from_millis(200);
/// The wait is logged after this long.
const QUIET: Duration = Duration::from_secs(1);
/// While later lines are committed before these, the wait is this many times as long: the messages of a dead
/// processor are delivered again only after a minute.
const LONGER: u32 = 3;

#[derive(Default)]
pub(super) struct Pending {
    events: Vec<Read>,
    dead: Vec<(DeadId, Place)>,
    /// Events beyond [`KEPT`], by file and range.
    places: Vec<(usize, u64, u64)>,
}

impl Pending {
    pub fn event(&mut self, read: Read) {
        if self.events.len() < KEPT {
            self.events.push(read);
        } else {
            self.places.push((read.place.file, read.place.offset, read.place.end));
        }
    }

    pub fn dead(&mut self, id: DeadId, place: Place) {
        self.dead.push((id, place));
    }

    fn spans(&self) -> impl Iterator<Item = (usize, u64, u64)> {
        let events = self.events.iter().map(|read| &read.place);
        events
            .chain(self.dead.iter().map(|(_, place)| place))
            .map(|place| (place.file, place.offset, place.end))
            .chain(self.places.iter().copied())
    }

    /// Lines and bytes; several events on one line count as one line.
    fn size(&self) -> (u64, u64) {
        let lines: BTreeSet<_> = self.spans().collect();
        (lines.len() as u64, lines.iter().map(|(_, start, end)| end - start).sum())
    }

    fn len(&self) -> usize {
        self.events.len() + self.dead.len() + self.places.len()
    }

    /// Whether an uncommitted line is followed by committed bytes.
    fn is_overtaken(&self, files: &[Found]) -> bool {
        self.spans().any(|(file, start, _)| files[file].is_committed_after(start))
    }
}

/// Waits, as long as there is progress, until everything in the files is committed, and compares it then.
pub(super) async fn settle(
    store: &Store,
    counted: &mut Counted,
    wait: Duration,
    report: &mut Report,
) -> anyhow::Result<()> {
    let Counted { sensor, files, pending, .. } = counted;
    let (begun, mut moved, mut announced) = (Instant::now(), Instant::now(), false);
    while pending.len() > 0 {
        let before = pending.len();
        let mut on = store.connection().await?;
        let waiting: BTreeSet<_> = pending.spans().map(|(file, ..)| file).collect();
        for file in waiting {
            files[file].resolve(&mut on, sensor).await?;
        }
        take_committed(&mut on, sensor, files, pending, report).await?;
        if pending.len() < before {
            moved = Instant::now();
        }
        let longest = if pending.is_overtaken(files) { wait * LONGER } else { wait };
        if pending.len() == 0 || moved.elapsed() >= wait || begun.elapsed() >= longest {
            break;
        }
        if !announced && begun.elapsed() >= QUIET {
            let (lines, bytes) = pending.size();
            tracing::info!(%sensor, lines, bytes, "waiting for lines that are not yet committed");
            announced = true;
        }
        drop(on);
        tokio::time::sleep(PAUSE).await;
    }
    let stalled = moved.elapsed() >= wait;
    report_rest(files, std::mem::take(pending), stalled, report);
    Ok(())
}

/// Compares events that are committed now, or are stored from a copy of the file; the others stay pending.
async fn take_committed(
    on: &mut Connection,
    sensor: &SensorId,
    files: &[Found],
    pending: &mut Pending,
    report: &mut Report,
) -> anyhow::Result<()> {
    let committed = |place: &Place| files[place.file].is_committed(place.offset, place.end);
    let mut rest = Vec::new();
    let mut reads = std::mem::take(&mut pending.events);
    while !reads.is_empty() {
        let chunk = reads.split_off(reads.len().saturating_sub(2_000));
        let verdicts = judge(on, sensor, &chunk).await?;
        for (read, verdict) in chunk.into_iter().zip(verdicts) {
            match verdict {
                Verdict::Stored | Verdict::Refused => (),
                Verdict::StoredEarlier => report.earlier += 1,
                Verdict::Differs => report.wrong(format!("{}: a column differs from the line", read.name())),
                // The receipts were read first, so they cannot be newer than the events.
                Verdict::Absent if committed(&read.place) => report.missing(read.name()),
                Verdict::Absent => rest.push(read),
            }
        }
    }
    pending.events = rest;
    let ids: Vec<_> = pending.dead.iter().map(|(id, _)| *id).collect();
    let stored: BTreeSet<_> =
        if ids.is_empty() { BTreeSet::new() } else { db::stored_dead(on, &ids).await?.into_iter().collect() };
    pending.dead.retain(|(id, _)| !stored.contains(id));
    for (id, place) in pending.dead.extract_if(.., |(_, place)| committed(place)) {
        report.missing(format!("dead letter {id} ({place})"));
    }
    let not_compared =
        pending.places.extract_if(.., |(file, start, end)| files[*file].is_committed(*start, *end)).count();
    report.committed_meanwhile += not_compared as u64;
    Ok(())
}

/// Lines without progress, or followed by committed bytes, are missing. The others are still on their way.
fn report_rest(files: &[Found], mut rest: Pending, stalled: bool, report: &mut Report) {
    let late = |file: usize, start: u64| stalled || files[file].is_committed_after(start);
    let why = "is not committed";
    for read in rest.events.extract_if(.., |read| late(read.place.file, read.place.offset)) {
        report.missing(format!("{} {why}", read.name()));
        report.stuck += 1;
    }
    for (id, place) in rest.dead.extract_if(.., |(_, place)| late(place.file, place.offset)) {
        report.missing(format!("dead letter {id} ({place}) {why}"));
        report.stuck += 1;
    }
    for (file, start, _) in rest.places.extract_if(.., |(file, start, _)| late(*file, *start)) {
        report.missing(format!("an event ({} at byte {start}) {why}", files[file].path().display()));
        report.stuck += 1;
    }
    let (lines, bytes) = rest.size();
    report.not_committed.lines += lines;
    report.not_committed.bytes += bytes;
}
