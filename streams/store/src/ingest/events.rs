//! The table `events`.

use std::collections::HashSet;

use chrono::DateTime;
use events::{EventId, FileId, Record};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::Failure;

/// An event, and where it was read.
#[derive(Clone, Debug)]
pub struct StoredEvent {
    pub record: Record,
    /// The raw line, stored when `jsonb` cannot reproduce it.
    pub line: Option<Vec<u8>>,
    /// The file, and the byte offset of the line in it.
    pub source: Option<(FileId, u64)>,
    /// The id that version 1 of the repair gave the event, if it differs.
    pub earlier: Option<EventId>,
}

/// Returns the earlier ids under which some of these events are already stored, given by version 1 of the
/// repair.
pub async fn stored_earlier(
    on: &mut PgConnection,
    events: &[&StoredEvent],
) -> Result<HashSet<EventId>, Failure> {
    let (ids, times): (Vec<_>, Vec<_>) = events
        .iter()
        .filter_map(|e| {
            Some((Uuid::from_bytes(e.earlier?.0), e.record.ts.and_then(DateTime::from_timestamp_micros)))
        })
        .unzip();
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    let stored = sqlx::query_scalar!(
        "select e.event_id from unnest($1::uuid[], $2::timestamptz[]) as f (event_id, ts)
        join events e on e.ts = coalesce(f.ts, '-infinity') and e.event_id = f.event_id",
        &ids,
        &times as &[Option<_>],
    )
    .fetch_all(on)
    .await?;
    Ok(stored.into_iter().map(|id| EventId(id.into_bytes())).collect())
}

/// Inserts events, and for the new ones the rows of the side tables, which the database derives. The events
/// must be distinct and sorted by `(ts, event_id)`, so that concurrent inserts never deadlock. If a side row
/// exists already, `verify` checks it; it must not prevent the insert of its event. Returns the ids of the
/// new events.
pub async fn insert(on: &mut PgConnection, events: &[&StoredEvent]) -> Result<HashSet<EventId>, Failure> {
    fn column<'a, T>(events: &[&'a StoredEvent], value: impl Fn(&'a StoredEvent) -> T) -> Vec<T> {
        events.iter().copied().map(value).collect()
    }
    let new = sqlx::query_scalar!(
        r#"with new as (
            insert into events (event_id, sensor, session, eventid, ts, src_ip, payload, line, length, source_file, source_offset)
            select event_id, sensor, session, eventid, coalesce(ts, '-infinity'), src_ip::inet, payload::jsonb, line, length, source_file, source_offset
            from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::text[], $7::text[], $8::bytea[], $9::int4[], $10::uuid[], $11::int8[])
                as e (event_id, sensor, session, eventid, ts, src_ip, payload, line, length, source_file, source_offset)
            on conflict do nothing
            returning *
        ),
        c as (insert into commands select s.* from new, commands_of(row(new.*)::events) s on conflict do nothing),
        l as (insert into login_attempts select s.* from new, login_attempts_of(row(new.*)::events) s on conflict do nothing),
        d as (insert into downloads select s.* from new, downloads_of(row(new.*)::events) s on conflict do nothing),
        f as (insert into forwards select s.* from new, forwards_of(row(new.*)::events) s on conflict do nothing),
        k as (insert into client_fingerprints select s.* from new, client_fingerprints_of(row(new.*)::events) s on conflict do nothing)
        select event_id as "event_id!" from new"#,
        &column(events, |e| Uuid::from_bytes(e.record.id.0)),
        &column(events, |e| e.record.sensor.as_str()) as &[&str],
        &column(events, |e| e.record.session.as_deref()) as &[Option<&str>],
        &column(events, |e| e.record.eventid.as_str()) as &[&str],
        &column(events, |e| e.record.ts.and_then(DateTime::from_timestamp_micros)) as &[Option<_>],
        &column(events, |e| e.record.src_ip.map(|ip| ip.to_string())) as &[Option<String>],
        &column(events, |e| e.record.payload.as_str()) as &[&str],
        &column(events, |e| e.line.as_deref()) as &[Option<&[u8]>],
        &column(events, |e| e.record.length as i32),
        &column(events, |e| e.source.map(|(file, _)| Uuid::from_bytes(file.0))) as &[Option<Uuid>],
        &column(events, |e| e.source.map(|(_, offset)| offset as i64)) as &[Option<i64>],
    )
    .fetch_all(on)
    .await?;
    Ok(new.into_iter().map(|id| EventId(id.into_bytes())).collect())
}
