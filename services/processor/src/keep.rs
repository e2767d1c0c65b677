//! Commits one batch in one transaction.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate};
use events::{
    FileId, MINUTE, Pane, PaneKey, Panes, RangeSet, Record, SensorDelta, SensorId, SessionDelta,
    features::{Features, features},
};
use store::{
    Connection, Failure, SessionKey, Store, ingest::deliveries::Delivery, ingest::events::StoredEvent,
    ingest::files::FileReceipt, ingest::sessions::MergedSession,
};

use crate::{
    prepare::{Content, Prepared},
    signals::Live,
};

/// Whether events add to the sliding windows and to the features of sessions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Windows {
    Kept,
    /// For measuring what windows and features cost.
    Skipped,
}

/// What a committed batch changed.
#[derive(Debug, Default)]
pub struct Kept {
    /// The files that the batch covers, each with all of its committed ranges.
    pub receipts: Vec<FileReceipt>,
    pub deliveries: BTreeMap<SensorId, Delivery>,
}

/// Commits everything that these messages mean, or nothing. Marks the keys of live events for evaluation when
/// `live` is given.
pub async fn keep(
    store: &Store,
    batch: &[Prepared<'_>],
    windows: Windows,
    live: Option<&Live>,
) -> Result<Kept, Failure> {
    let (events, mut deliveries) = distinct(batch);
    let sealed = store.open_days(&days(&events)).await?;
    let (events, late) = unsealed(events, &sealed);
    for event in late {
        deliveries.entry(event.record.sensor.clone()).or_default().sealed += 1;
    }
    let mut transaction = store.begin().await?;
    let (earlier, events) = stored_earlier(&mut transaction, events).await?;
    let inserted = store::ingest::events::insert(&mut transaction, &events).await?;
    let (new, known): (Vec<_>, Vec<_>) =
        events.into_iter().partition(|event| inserted.contains(&event.record.id));
    for event in known.into_iter().chain(earlier) {
        deliveries.entry(event.record.sensor.clone()).or_default().duplicates += 1;
    }
    // Write panes first: they take no row locks. Session rows do, and block the next batch, which has events
    // of the same sessions.
    if windows == Windows::Kept {
        let panes = panes(&new);
        store::windows::panes::add(&mut transaction, &panes).await?;
        if let Some(live) = live {
            live.mark(&mut transaction, &panes).await?;
        }
    }
    derive(&mut transaction, &new, windows).await?;
    insert_dead_letters(&mut transaction, batch).await?;
    count_late(&mut transaction, &new, &mut deliveries).await?;
    for event in new.iter().filter(|event| live.is_some_and(|live| live.is_live(event.record.ts))) {
        deliveries.entry(event.record.sensor.clone()).or_default().live += 1;
    }
    derive_sensors(&mut transaction, &new).await?;
    store::ingest::deliveries::add(
        &mut transaction,
        &deliveries.iter().map(|(sensor, delivery)| (sensor, *delivery)).collect::<Vec<_>>(),
    )
    .await?;
    let receipts = store::ingest::files::merge_receipts(&mut transaction, &receipts(batch)).await?;
    transaction.commit().await.map_err(Failure::from)?;
    Ok(Kept { receipts, deliveries })
}

/// Returns the distinct events in the order in which every transaction inserts them, and counts what was
/// delivered.
fn distinct<'a>(batch: &'a [Prepared<'_>]) -> (Vec<&'a StoredEvent>, BTreeMap<SensorId, Delivery>) {
    let mut deliveries = BTreeMap::<SensorId, Delivery>::new();
    let mut events = Vec::with_capacity(batch.len());
    for prepared in batch {
        let Content::Event(event, _) = &prepared.content else { continue };
        deliveries.entry(event.record.sensor.clone()).or_default().events += 1;
        events.push(event.as_ref());
    }
    events.sort_by_key(|event| (event.record.ts, event.record.id));
    let mut duplicate = |event: &&StoredEvent, before: &&StoredEvent| {
        let same = event.record.id == before.record.id;
        if same {
            deliveries.entry(event.record.sensor.clone()).or_default().duplicates += 1;
        }
        same
    };
    events.dedup_by(|event, before| duplicate(event, before));
    (events, deliveries)
}

/// Returns the day whose partition holds the event, or `None` when the event has no readable time.
pub fn day(event: &StoredEvent) -> Option<NaiveDate> {
    event.record.ts.and_then(DateTime::from_timestamp_micros).map(|at| at.date_naive())
}

fn days(events: &[&StoredEvent]) -> BTreeSet<NaiveDate> {
    events.iter().copied().filter_map(day).collect()
}

fn unsealed<'a>(
    events: Vec<&'a StoredEvent>,
    sealed: &BTreeSet<NaiveDate>,
) -> (Vec<&'a StoredEvent>, Vec<&'a StoredEvent>) {
    events.into_iter().partition(|event| day(event).is_none_or(|day| !sealed.contains(&day)))
}

/// Separates the events that are already stored under the id which version 1 of the repair gave them.
async fn stored_earlier<'a>(
    on: &mut Connection,
    events: Vec<&'a StoredEvent>,
) -> Result<(Vec<&'a StoredEvent>, Vec<&'a StoredEvent>), Failure> {
    let stored = store::ingest::events::stored_earlier(on, &events).await?;
    Ok(events.into_iter().partition(|event| event.earlier.is_some_and(|id| stored.contains(&id))))
}

/// Merges the new events into their sessions, and stores the features of sessions that have ended.
async fn derive(on: &mut Connection, new: &[&StoredEvent], windows: Windows) -> Result<(), Failure> {
    let mut sessions = BTreeMap::<SessionKey, (SessionDelta, Vec<&Record>)>::new();
    for StoredEvent { record, .. } in new {
        let Some(session) = &record.session else { continue };
        let nothing = || (SessionDelta::nothing(record.sensor.clone(), session.clone()), Vec::new());
        let (sum, records) =
            sessions.entry((record.sensor.as_str().to_owned(), session.clone())).or_insert_with(nothing);
        sum.add(record);
        records.push(record);
    }
    if sessions.is_empty() {
        return Ok(());
    }
    let (deltas, records): (Vec<_>, BTreeMap<_, _>) =
        sessions.into_iter().map(|(key, (delta, records))| (delta, (key, records))).unzip();
    if windows == Windows::Skipped {
        return store::ingest::sessions::merge(on, &deltas).await.map(drop);
    }
    let closed = deltas
        .iter()
        .filter(|delta| delta.closed)
        .map(|delta| (delta.sensor.as_str().to_owned(), delta.session.clone()));
    let mut ended: BTreeMap<_, _> = closed
        .filter_map(|key| records.get(&key).map(|records| (key, (features(records.clone()), records.len()))))
        .collect();
    let merged = store::ingest::sessions::merge(on, &deltas).await?;
    derive_features(on, merged, &mut ended).await
}

/// Stores the features of closed sessions. `ended` holds, for each session that this batch closes, the
/// features of its events in this batch and their number. If the session has no other events, none are read.
async fn derive_features(
    on: &mut Connection,
    merged: Vec<MergedSession>,
    ended: &mut BTreeMap<SessionKey, (Features, usize)>,
) -> Result<(), Failure> {
    let (mut whole, mut earlier, mut open) = (Vec::new(), Vec::new(), Vec::new());
    for MergedSession { sensor, session, event_count, closed } in merged {
        let key = (sensor, session);
        match ended.remove(&key) {
            Some((features, events)) if events as i64 == event_count => whole.push((key, features)),
            _ if closed => earlier.push(key),
            // The session may have been closed as idle, so that its features are stored.
            _ => open.push(key),
        }
    }
    store::features::insert(on, &whole).await?;
    store::features::delete(on, &open).await?;
    store::features::refresh(on, &earlier).await
}

fn panes<'a>(new: &[&'a StoredEvent]) -> Vec<(PaneKey<'a>, Pane)> {
    let mut panes = Panes::default();
    for event in new {
        panes.add(&event.record);
    }
    panes.into_sorted()
}

/// An event is late when it is this many microseconds older than the newest event of its sensor.
const LATE: i64 = 60 * MINUTE;

async fn count_late(
    on: &mut Connection,
    new: &[&StoredEvent],
    deliveries: &mut BTreeMap<SensorId, Delivery>,
) -> Result<(), Failure> {
    let sensors: Vec<_> = deliveries.keys().map(SensorId::as_str).collect();
    let newest = store::ingest::sensors::newest_events(on, &sensors).await?;
    for StoredEvent { record, .. } in new {
        if record.ts.zip(newest.get(record.sensor.as_str())).is_some_and(|(ts, newest)| ts < newest - LATE) {
            deliveries.entry(record.sensor.clone()).or_default().late += 1;
        }
    }
    Ok(())
}

async fn derive_sensors(on: &mut Connection, new: &[&StoredEvent]) -> Result<(), Failure> {
    let mut sensors = BTreeMap::<&SensorId, SensorDelta>::new();
    for event in new {
        let delta = SensorDelta::of(&event.record);
        match sensors.get_mut(&event.record.sensor) {
            Some(sum) => sum.merge(&delta),
            None => {
                sensors.insert(&event.record.sensor, delta);
            }
        }
    }
    store::ingest::sensors::merge(on, &sensors.into_values().collect::<Vec<_>>()).await
}

/// Inserts the dead letters, and resolves those that were replayed or replaced by a longer line.
async fn insert_dead_letters(on: &mut Connection, batch: &[Prepared<'_>]) -> Result<(), Failure> {
    let (mut dead, mut resolved) = (Vec::new(), Vec::new());
    for prepared in batch {
        match &prepared.content {
            Content::Dead(letter, path) => {
                dead.push((letter.as_ref().clone(), path.clone()));
                resolved.extend(prepared.replaces.map(|replaced| (replaced, None)));
            }
            Content::Event(event, Some(replayed)) => resolved.push((*replayed, Some(event.record.id))),
            Content::Event(_, None) | Content::Nothing => (),
        }
    }
    resolved.sort();
    store::ingest::dead_letters::insert(on, &dead).await?;
    store::ingest::dead_letters::resolve(on, &resolved).await
}

/// Returns the bytes that the batch covers, by file.
fn receipts(batch: &[Prepared<'_>]) -> Vec<FileReceipt> {
    let mut files = BTreeMap::<(SensorId, FileId), (RangeSet, Option<events::Announcement>)>::new();
    for prepared in batch {
        let sensor = match &prepared.content {
            Content::Event(event, _) => &event.record.sensor,
            Content::Dead(dead, _) => &dead.sensor,
            Content::Nothing => continue,
        };
        for (file, ranges) in &prepared.source.files {
            let (set, announce) = files.entry((sensor.clone(), *file)).or_default();
            for &(start, end) in ranges {
                set.insert(start, end);
            }
            if let Some(announcement) = prepared.announce.filter(|it| it.file_id == *file) {
                *announce = Some(announcement.clone());
            }
        }
    }
    let receipt = |((sensor, file), (ranges, announce)): ((SensorId, FileId), (RangeSet, _))| FileReceipt {
        sensor,
        file,
        committed: ranges.to_vec(),
        announce,
    };
    files.into_iter().map(receipt).collect()
}
