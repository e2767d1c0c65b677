//! One batch, one transaction.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate};
use events::{
    FileId, MINUTE, Pane, PaneKey, Panes, RangeSet, Record, SensorDelta, SensorId, SessionDelta,
    features::{Features, features},
};
use store::{Connection, Delivery, Failure, FileReceipt, MergedSession, SessionKey, Store, StoredEvent};

use crate::{
    prepare::{Prepared, What},
    signals::Live,
};

/// Whether events add to the sliding windows and to the features of sessions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Windows {
    Kept,
    /// For measuring what they cost.
    Left,
}

/// What a committed batch changed.
#[derive(Debug, Default)]
pub struct Kept {
    /// The files it covered, with all that is committed of them.
    pub receipts: Vec<FileReceipt>,
    /// What was delivered, by sensor.
    pub deliveries: BTreeMap<SensorId, Delivery>,
}

/// Commits everything that these messages mean, or nothing. Keys of live events are marked for the rules, if
/// there are any.
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
    let inserted = store::insert_events(&mut transaction, &events).await?;
    let (new, known): (Vec<_>, Vec<_>) =
        events.into_iter().partition(|event| inserted.contains(&event.record.id));
    for event in known.into_iter().chain(earlier) {
        deliveries.entry(event.record.sensor.clone()).or_default().duplicates += 1;
    }
    // What waits for nobody comes first: from its sessions on, a batch holds back the next one, which has
    // events of the same sessions.
    if windows == Windows::Kept {
        let panes = panes(&new);
        store::add_panes(&mut transaction, &panes).await?;
        if let Some(live) = live {
            live.mark(&mut transaction, &panes).await?;
        }
    }
    derive(&mut transaction, &new, windows).await?;
    bury(&mut transaction, batch).await?;
    count_late(&mut transaction, &new, &mut deliveries).await?;
    for event in new.iter().filter(|event| live.is_some_and(|live| live.is_live(event.record.ts))) {
        deliveries.entry(event.record.sensor.clone()).or_default().live += 1;
    }
    derive_sensors(&mut transaction, &new).await?;
    store::add_deliveries(
        &mut transaction,
        &deliveries.iter().map(|(sensor, delivery)| (sensor, *delivery)).collect::<Vec<_>>(),
    )
    .await?;
    let receipts = store::merge_receipts(&mut transaction, &receipts(batch)).await?;
    transaction.commit().await.map_err(Failure::from)?;
    Ok(Kept { receipts, deliveries })
}

/// The distinct events in the order in which every transaction takes them, and how many were delivered.
fn distinct<'a>(batch: &'a [Prepared<'_>]) -> (Vec<&'a StoredEvent>, BTreeMap<SensorId, Delivery>) {
    let mut deliveries = BTreeMap::<SensorId, Delivery>::new();
    let mut events = Vec::with_capacity(batch.len());
    for prepared in batch {
        let What::Event(event, _) = &prepared.what else { continue };
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

/// The day whose partition holds an event; `None` without a readable time.
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

/// Parts the events that are stored under the identity of version 1 of the repair from the others.
async fn stored_earlier<'a>(
    on: &mut Connection,
    events: Vec<&'a StoredEvent>,
) -> Result<(Vec<&'a StoredEvent>, Vec<&'a StoredEvent>), Failure> {
    let stored = store::stored_earlier(on, &events).await?;
    Ok(events.into_iter().partition(|event| event.earlier.is_some_and(|id| stored.contains(&id))))
}

/// What the new events add to their sessions, and the features of those that have ended.
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
    if windows == Windows::Left {
        return store::merge_sessions(on, &deltas).await.map(drop);
    }
    let closed = deltas
        .iter()
        .filter(|delta| delta.closed)
        .map(|delta| (delta.sensor.as_str().to_owned(), delta.session.clone()));
    let mut ended: BTreeMap<_, _> = closed
        .filter_map(|key| records.get(&key).map(|records| (key, (features(records.clone()), records.len()))))
        .collect();
    let merged = store::merge_sessions(on, &deltas).await?;
    derive_features(on, merged, &mut ended).await
}

/// The features of sessions that have ended; `ended`: of those that the batch closes, by its own events, and
/// how many these are. Where these are all, nothing needs to be read.
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
            // It may have been idle, and features with it.
            _ => open.push(key),
        }
    }
    store::insert_features(on, &whole).await?;
    store::delete_features(on, &open).await?;
    store::refresh_features(on, &earlier).await
}

/// What the new events add to the windows.
fn panes<'a>(new: &[&'a StoredEvent]) -> Vec<(PaneKey<'a>, Pane)> {
    let mut panes = Panes::default();
    for event in new {
        panes.add(&event.record);
    }
    panes.into_sorted()
}

/// An event that far behind the newest of its sensor is late.
const LATE: i64 = 60 * MINUTE;

/// Counts the events that are late.
async fn count_late(
    on: &mut Connection,
    new: &[&StoredEvent],
    deliveries: &mut BTreeMap<SensorId, Delivery>,
) -> Result<(), Failure> {
    let sensors: Vec<_> = deliveries.keys().map(SensorId::as_str).collect();
    let newest = store::newest_events(on, &sensors).await?;
    for StoredEvent { record, .. } in new {
        if record.ts.zip(newest.get(record.sensor.as_str())).is_some_and(|(ts, newest)| ts < newest - LATE) {
            deliveries.entry(record.sensor.clone()).or_default().late += 1;
        }
    }
    Ok(())
}

/// What the new events add to their sensors.
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
    store::merge_sensors(on, &sensors.into_values().collect::<Vec<_>>()).await
}

/// Stores the dead letters, and resolves those that were replayed, or whose line went on.
async fn bury(on: &mut Connection, batch: &[Prepared<'_>]) -> Result<(), Failure> {
    let (mut dead, mut resolved) = (Vec::new(), Vec::new());
    for prepared in batch {
        match &prepared.what {
            What::Dead(letter, path) => {
                dead.push((letter.as_ref().clone(), path.clone()));
                resolved.extend(prepared.replaces.map(|replaced| (replaced, None)));
            }
            What::Event(event, Some(replayed)) => resolved.push((*replayed, Some(event.record.id))),
            What::Event(_, None) | What::Nothing => (),
        }
    }
    resolved.sort();
    store::insert_dead_letters(on, &dead).await?;
    store::resolve_dead_letters(on, &resolved).await
}

/// The bytes that the batch covers, by file.
fn receipts(batch: &[Prepared<'_>]) -> Vec<FileReceipt> {
    let mut files = BTreeMap::<(SensorId, FileId), (RangeSet, Option<events::Announcement>)>::new();
    for prepared in batch {
        let sensor = match &prepared.what {
            What::Event(event, _) => &event.record.sensor,
            What::Dead(dead, _) => &dead.sensor,
            What::Nothing => continue,
        };
        for (file, ranges) in &prepared.source.files {
            let (set, announce) = files.entry((sensor.clone(), *file)).or_default();
            for &(start, end) in ranges {
                set.insert(start, end);
            }
            if let Some(told) = prepared.announce.filter(|told| told.file_id == *file) {
                *announce = Some(told.clone());
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
