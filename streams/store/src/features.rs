//! The tables `session_features` and `command_sequences`: what analyses know of a session that has ended.
//!
//! A transaction that writes here holds the lock of the session's row, so that it sees everything that is
//! committed of the session.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use events::{
    EventId, Record, SensorId,
    features::{Features, MOST_EVENTS, Sequence, VERSION, features},
    normal,
};
use futures::TryStreamExt as _;
use sqlx::{
    PgConnection, Postgres, Type,
    postgres::{PgHasArrayType, PgTypeInfo},
};

use crate::{Failure, SessionKey};

/// Tolerated difference of an element of a vector between processors on different CPUs.
const TOLERANCE: f32 = 1e-5;
/// Most rows in one statement.
const AT_ONCE: usize = 5_000;
/// Sessions that one step of the backfill reads.
const BACKFILL: i64 = 500;

/// Inserts features of sessions that have none.
pub async fn insert(on: &mut PgConnection, rows: &[(SessionKey, Features)]) -> Result<(), Failure> {
    if rows.is_empty() {
        return Ok(());
    }
    let sequences: BTreeMap<_, _> = rows
        .iter()
        .filter_map(|(_, features)| features.sequence.as_ref())
        .map(|sequence| (sequence.fingerprint, sequence))
        .collect();
    insert_sequences(on, &sequences.into_values().collect::<Vec<_>>()).await?;
    for some in rows.chunks(AT_ONCE) {
        let some: Vec<_> = some.iter().map(Row::of).collect();
        sqlx::query!(
            "insert into session_features select * from unnest($1::session_features[])",
            &some as &[Row<'_>]
        )
        .execute(&mut *on)
        .await?;
    }
    Ok(())
}

/// A row, with its columns in the order of the table. Before you add a column, give this row a type of its
/// own: an older processor fails, and waits, when the row type of the table has another number of columns.
#[derive(sqlx::Encode)]
struct Row<'a> {
    sensor: &'a str,
    session: &'a str,
    version: i16,
    vector: &'a [f32],
    profile: Option<&'a [f32]>,
    sequence: Option<&'a [u8]>,
}

impl<'a> Row<'a> {
    fn of(((sensor, session), features): &'a (SessionKey, Features)) -> Self {
        Self {
            sensor,
            session,
            version: VERSION,
            vector: &features.vector,
            profile: features.profile.as_deref(),
            sequence: features.sequence.as_ref().map(|sequence| sequence.fingerprint.as_slice()),
        }
    }
}

impl Type<Postgres> for Row<'_> {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_name("session_features")
    }
}

impl PgHasArrayType for Row<'_> {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::array_of("session_features")
    }
}

async fn insert_sequences(on: &mut PgConnection, sequences: &[&Sequence]) -> Result<(), Failure> {
    if sequences.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into command_sequences (sequence, version, length, commands)
        select s.sequence, $1, s.length, s.commands from unnest($2::bytea[], $3::int4[], $4::text[]) as s (sequence, length, commands)
        on conflict (sequence) do nothing",
        normal::VERSION,
        &sequences.iter().map(|sequence| sequence.fingerprint.to_vec()).collect::<Vec<_>>(),
        &sequences.iter().map(|sequence| sequence.length as i32).collect::<Vec<_>>(),
        &sequences.iter().map(|sequence| sequence.commands.as_str()).collect::<Vec<_>>() as &[&str],
    )
    .execute(on)
    .await?;
    Ok(())
}

pub async fn delete(on: &mut PgConnection, sessions: &[SessionKey]) -> Result<(), Failure> {
    if sessions.is_empty() {
        return Ok(());
    }
    let (sensors, sessions): (Vec<&str>, Vec<&str>) =
        sessions.iter().map(|(sensor, session)| (sensor.as_str(), session.as_str())).unzip();
    // Open sessions rarely have features. A join may read the whole table; a look-up for each key does not.
    let stored = sqlx::query!(
        r#"select k.sensor as "sensor!", k.session as "session!" from unnest($1::text[], $2::text[]) as k (sensor, session)
        cross join lateral (select from session_features f where f.sensor = k.sensor and f.session = k.session limit 1) f"#,
        &sensors as &[&str],
        &sessions as &[&str],
    )
    .fetch_all(&mut *on)
    .await?;
    if stored.is_empty() {
        return Ok(());
    }
    let (sensors, sessions): (Vec<&str>, Vec<&str>) =
        stored.iter().map(|row| (row.sensor.as_str(), row.session.as_str())).unzip();
    sqlx::query!(
        "delete from session_features f using unnest($1::text[], $2::text[]) as k (sensor, session) where f.sensor = k.sensor and f.session = k.session",
        &sensors as &[&str],
        &sessions as &[&str],
    )
    .execute(on)
    .await?;
    Ok(())
}

/// Recomputes the features of sessions from their stored events.
pub async fn refresh(on: &mut PgConnection, sessions: &[SessionKey]) -> Result<(), Failure> {
    delete(on, sessions).await?;
    let rows = recomputed(on, sessions).await?;
    insert(on, &rows).await
}

/// Computes the features of sessions from their stored events.
async fn recomputed(
    on: &mut PgConnection,
    sessions: &[SessionKey],
) -> Result<Vec<(SessionKey, Features)>, Failure> {
    if sessions.is_empty() {
        return Ok(Vec::new());
    }
    let (sensors, names): (Vec<&str>, Vec<&str>) =
        sessions.iter().map(|(sensor, session)| (sensor.as_str(), session.as_str())).unzip();
    // As parameters, these choose the partitions before the query is planned.
    let span = sqlx::query!(
        "select min(started_at) as first, max(last_event_at) as last
        from unnest($1::text[], $2::text[]) as k (sensor, session) join sessions s on s.sensor = k.sensor and s.session = k.session",
        &sensors as &[&str],
        &names as &[&str],
    )
    .fetch_one(&mut *on)
    .await?;
    let mut rows = sqlx::query!(
        r#"select k.n as "n!", e.event_id as "event_id!", e.length as "length!", e.payload::text as "payload!", e.line
        from unnest($1::text[], $2::text[]) with ordinality as k (sensor, session, n)
        join sessions s on s.sensor = k.sensor and s.session = k.session
        cross join lateral (
            (select 0 as late, event_id, ts, length, payload, line from events e
            where e.sensor = s.sensor and e.session = s.session and e.ts >= $3 and e.ts <= $4 and e.ts >= s.started_at and e.ts <= s.last_event_at
            order by e.ts, e.event_id limit $5)
            union all
            (select 1, event_id, ts, length, payload, line from events_outside_time e
            where e.sensor = s.sensor and e.session = s.session order by e.event_id limit $5)
        ) e
        order by k.n, e.late, e.ts, e.event_id"#,
        &sensors as &[&str],
        &names as &[&str],
        span.first.unwrap_or(DateTime::<Utc>::UNIX_EPOCH),
        span.last.unwrap_or(DateTime::<Utc>::UNIX_EPOCH),
        MOST_EVENTS as i64,
    )
    .fetch(on);
    let mut found = Vec::with_capacity(sessions.len());
    let mut events: Vec<Record> = Vec::new();
    let mut of = 0;
    while let Some(row) = rows.try_next().await? {
        if row.n != of {
            close(&mut found, sessions, of, &mut events);
            of = row.n;
        }
        let line = row.line.unwrap_or_else(|| row.payload.into_bytes());
        let sensor = &sessions[row.n as usize - 1].0;
        // A stored payload that cannot be read as an event was tampered with; `verify` reports it.
        let Some(mut record) =
            sensor.parse().ok().and_then(|sensor: SensorId| Record::read(&sensor, &line).ok())
        else {
            continue;
        };
        (record.id, record.length) = (EventId(row.event_id.into_bytes()), row.length as u64);
        if events.len() < MOST_EVENTS {
            events.push(record);
        }
    }
    close(&mut found, sessions, of, &mut events);
    Ok(found)
}

/// Finishes session `n`, counted from 1, whose events are all read.
fn close(found: &mut Vec<(SessionKey, Features)>, sessions: &[SessionKey], n: i64, events: &mut Vec<Record>) {
    if let Some(session) = usize::try_from(n - 1).ok().and_then(|n| sessions.get(n)) {
        found.push((session.clone(), features(events.iter().collect())));
    }
    events.clear();
}

/// Progress of the backfill for this program's definition of features.
#[derive(Clone, Copy, Debug)]
pub struct BackfillPlace {
    /// Number of sessions read in this step.
    pub sessions: u64,
    pub finished: bool,
}

/// Reads the next sessions that ended before this definition of features was introduced, and writes missing
/// features; with `again`, all. Call it in a transaction.
pub async fn backfill(on: &mut PgConnection, again: bool) -> Result<BackfillPlace, Failure> {
    sqlx::query!(
        "insert into features_backfill (version) values ($1) on conflict (version) do nothing",
        VERSION
    )
    .execute(&mut *on)
    .await?;
    let place = sqlx::query!(
        "select sensor, session from features_backfill where version = $1 and finished_at is null for update",
        VERSION
    )
    .fetch_optional(&mut *on)
    .await?;
    let Some(place) = place else { return Ok(BackfillPlace { sessions: 0, finished: true }) };
    let next = sqlx::query!(
        r#"select s.sensor, s.session, (s.closed or s.idle) as "ended!", f.version as "version?"
        from sessions s left join session_features f on f.sensor = s.sensor and f.session = s.session
        where (s.sensor, s.session) > ($1, $2) order by s.sensor, s.session limit $3 for update of s"#,
        place.sensor,
        place.session,
        BACKFILL,
    )
    .fetch_all(&mut *on)
    .await?;
    let finished = next.len() < BACKFILL as usize;
    let sessions = next.len() as u64;
    let last =
        next.last().map_or((place.sensor, place.session), |row| (row.sensor.clone(), row.session.clone()));
    // The join may have read before the lock was taken. Features written in between are written again, with
    // the same content.
    let lacking: Vec<_> = next
        .into_iter()
        .filter(|row| row.ended && (again || row.version != Some(VERSION)))
        .map(|row| (row.sensor, row.session))
        .collect();
    refresh(on, &lacking).await?;
    sqlx::query!(
        "update features_backfill set sensor = $2, session = $3, finished_at = case when $4 then clock_timestamp() end where version = $1",
        VERSION,
        last.0,
        last.1,
        finished,
    )
    .execute(on)
    .await?;
    Ok(BackfillPlace { sessions, finished })
}

pub async fn restart_backfill(on: &mut PgConnection) -> Result<(), Failure> {
    sqlx::query!("delete from features_backfill where version = $1", VERSION).execute(on).await?;
    Ok(())
}

/// Number of sessions that the backfill has not read.
pub async fn sessions_left(on: &mut PgConnection) -> Result<u64, Failure> {
    let left = sqlx::query_scalar!(
        r#"select count(*) as "left!" from sessions s
        where not exists (select from features_backfill b where b.version = $1 and (b.finished_at is not null or (s.sensor, s.session) <= (b.sensor, b.session)))"#,
        VERSION
    )
    .fetch_one(on)
    .await?;
    Ok(left as u64)
}

/// Number of sessions that have ended, and of those with features of this program's definition.
pub async fn progress(on: &mut PgConnection) -> Result<(u64, u64), Failure> {
    let row = sqlx::query!(
        r#"select (select count(*) from sessions where closed or idle) as "ended!", (select count(*) from session_features where version = $1) as "done!""#,
        VERSION
    )
    .fetch_one(on)
    .await?;
    Ok((row.ended as u64, row.done as u64))
}

/// Compares the features of the next sessions with a recomputation. Returns the differences and the last
/// session compared, or `None` at the end. Features of another definition are listed but not compared. Call
/// it in a repeatable-read transaction.
pub async fn differences(
    on: &mut PgConnection,
    after: &SessionKey,
) -> Result<Option<FeatureDifferences>, Failure> {
    let rows = sqlx::query!(
        r#"select s.sensor, s.session, (s.closed or s.idle) as "ended!", f.version as "version?", f.vector as "vector?", f.profile, f.sequence
        from sessions s left join session_features f on f.sensor = s.sensor and f.session = s.session
        where (s.sensor, s.session) > ($1, $2) order by s.sensor, s.session limit $3"#,
        after.0,
        after.1,
        BACKFILL,
    )
    .fetch_all(&mut *on)
    .await?;
    let Some(last) = rows.last().map(|row| (row.sensor.clone(), row.session.clone())) else {
        return Ok(None);
    };
    let mut differences = FeatureDifferences { last, outdated: Vec::new(), wrong: Vec::new() };
    let mut stored = BTreeMap::new();
    for row in rows {
        let name = format!("features of session {} of {}", row.session, row.sensor);
        match (row.ended, row.version) {
            (false, None) => (),
            (false, Some(_)) => {
                differences.wrong.push(format!("{name}: are there, and the session has not ended"))
            }
            (true, Some(VERSION)) => {
                let features = (row.vector.unwrap_or_default(), row.profile, row.sequence);
                stored.insert((row.sensor, row.session), features);
            }
            (true, _) => differences.outdated.push((row.sensor, row.session)),
        }
    }
    let sessions: Vec<_> = stored.keys().cloned().collect();
    for ((sensor, session), features) in recomputed(on, &sessions).await? {
        let name = format!("features of session {session} of {sensor}");
        let Some((vector, profile, sequence)) = stored.remove(&(sensor, session)) else { continue };
        let same = |one: &[f32], other: &[f32]| {
            one.len() == other.len()
                && one.iter().zip(other).all(|(one, other)| (one - other).abs() <= TOLERANCE)
        };
        if !same(&vector, &features.vector) {
            differences.wrong.push(format!("{name}: the vector is another one"));
        }
        if !same(profile.as_deref().unwrap_or_default(), features.profile.as_deref().unwrap_or_default()) {
            differences.wrong.push(format!("{name}: the profile is another one"));
        }
        if sequence.as_deref() != features.sequence.as_ref().map(|sequence| sequence.fingerprint.as_slice()) {
            differences.wrong.push(format!("{name}: the sequence of commands is another one"));
        }
    }
    Ok(Some(differences))
}

#[derive(Debug)]
pub struct FeatureDifferences {
    pub last: SessionKey,
    /// Sessions whose features are missing or of another definition.
    pub outdated: Vec<SessionKey>,
    /// Descriptions of the features that differ.
    pub wrong: Vec<String>,
}

/// Features without a session.
pub async fn orphaned(on: &mut PgConnection) -> Result<Vec<SessionKey>, Failure> {
    let rows = sqlx::query!("select sensor, session from session_features except select sensor, session from sessions order by 1, 2").fetch_all(on).await?;
    Ok(rows.into_iter().filter_map(|row| row.sensor.zip(row.session)).collect())
}
