//! The table `dead_letters`.

use chrono::{DateTime, Utc};
use events::{DeadId, DeadLetter, EventId};
use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::Failure;

/// Inserts dead letters with the path of their file. Of equal ones, the smallest position is kept.
pub async fn insert(on: &mut PgConnection, letters: &[(DeadLetter, Option<String>)]) -> Result<(), Failure> {
    let mut sorted: Vec<_> = letters.iter().collect();
    sorted.sort_by_key(|(letter, _)| letter.id());
    for (letter, path) in sorted {
        let place = letter.source.files.first().and_then(|(file, ranges)| Some((file, ranges.first()?.0)));
        sqlx::query!(
            "insert into dead_letters as d (dead_id, sensor, reason, detail, body, length, hash, source_file, source_offset, source_path)
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
            on conflict (dead_id) do update set
                source_file = excluded.source_file, source_offset = excluded.source_offset, source_path = excluded.source_path
            where (excluded.source_file, excluded.source_offset) < (d.source_file, d.source_offset)",
            Uuid::from_bytes(letter.id().0),
            letter.sensor.as_str(),
            letter.reason.as_str(),
            letter.detail.replace('\0', "\u{fffd}"),
            (!letter.reason.is_without_bytes()).then_some(letter.body.as_slice()),
            letter.length as i64,
            letter.hash.as_slice(),
            place.map(|(file, _)| Uuid::from_bytes(file.0)),
            place.map(|(_, offset)| offset as i64),
            path.as_ref().map(|path| path.replace('\0', "\u{fffd}")),
        )
        .execute(&mut *on)
        .await?;
    }
    Ok(())
}

/// Empties the oldest dead letters of each sensor that stores more than `limit` bytes of them. The rows stay,
/// with length and hash. Returns the number of emptied ones.
pub async fn limit(on: &mut PgConnection, limit: i64) -> Result<u64, Failure> {
    let done = sqlx::query!(
        "update dead_letters set body = null where dead_id in (
            select dead_id from (
                select dead_id, sum(octet_length(body)) over (partition by sensor order by ingested_at desc, dead_id) as kept
                from dead_letters where body is not null
                and sensor in (select sensor from dead_letters group by sensor having sum(octet_length(body)) > $1)
            ) newest_first where kept > $1)",
        limit,
    )
    .execute(on)
    .await?;
    Ok(done.rows_affected())
}

/// Marks dead letters as resolved: by the event that their replay produced, or without an event by the dead
/// letter of a longer part of the line.
pub async fn resolve(on: &mut PgConnection, resolved: &[(DeadId, Option<EventId>)]) -> Result<(), Failure> {
    for (dead, event) in resolved {
        sqlx::query!(
            "update dead_letters set resolved_at = now(), resolved_event = $2 where dead_id = $1 and resolved_at is null",
            Uuid::from_bytes(dead.0),
            event.map(|event| Uuid::from_bytes(event.0)),
        )
        .execute(&mut *on)
        .await?;
    }
    Ok(())
}

/// A dead letter in a list.
#[derive(Clone, Debug, Serialize)]
pub struct DeadLetterRow {
    pub dead_id: Uuid,
    pub sensor: String,
    pub reason: String,
    pub detail: String,
    #[serde(skip)]
    pub body: Option<Vec<u8>>,
    pub length: i64,
    pub source_path: Option<String>,
    pub source_offset: Option<i64>,
    pub ingested_at: DateTime<Utc>,
    pub resolved_at: Option<DateTime<Utc>>,
    pub resolved_event: Option<Uuid>,
}

/// Returns the newest dead letters without their bodies.
pub async fn list(
    on: &mut PgConnection,
    sensor: Option<&str>,
    reason: Option<&str>,
    resolved: bool,
    limit: i64,
) -> Result<Vec<DeadLetterRow>, Failure> {
    let rows = sqlx::query_as!(
        DeadLetterRow,
        r#"select dead_id, sensor, reason, detail, null::bytea as body, length, source_path, source_offset, ingested_at, resolved_at, resolved_event
        from dead_letters
        where ($1::text is null or sensor = $1) and ($2::text is null or reason = $2) and (resolved_at is null or $3)
        order by ingested_at desc, dead_id limit $4"#,
        sensor,
        reason,
        resolved,
        limit,
    )
    .fetch_all(on)
    .await?;
    Ok(rows)
}

pub async fn get(on: &mut PgConnection, id: DeadId) -> Result<Option<DeadLetterRow>, Failure> {
    let row = sqlx::query_as!(
        DeadLetterRow,
        r#"select dead_id, sensor, reason, detail, body, length, source_path, source_offset, ingested_at, resolved_at, resolved_event
        from dead_letters where dead_id = $1"#,
        Uuid::from_bytes(id.0),
    )
    .fetch_optional(on)
    .await?;
    Ok(row)
}
