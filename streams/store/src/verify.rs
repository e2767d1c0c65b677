//! Queries of `verify`.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use events::{EventId, FileId, Fingerprint, Record, SensorDelta, SensorId, SessionDelta};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::Failure;

/// A file in the database that may be a given file on disk.
#[derive(Clone, Debug)]
pub struct KnownFile {
    pub file: FileId,
    /// Whether device and inode match.
    pub same_inode: bool,
    pub same_path: bool,
    pub same_start: bool,
    /// Its committed bytes: sorted, disjoint, start inclusive, end exclusive.
    pub committed: Vec<(u64, u64)>,
}

/// Returns the files of a sensor that may be the one at `path`, newest first.
pub async fn known_files(
    on: &mut PgConnection,
    sensor: &SensorId,
    path: &str,
    device: u64,
    inode: u64,
    start: Option<Fingerprint>,
) -> Result<Vec<KnownFile>, Failure> {
    let start = start.map(|fingerprint| fingerprint.to_string());
    let rows = sqlx::query!(
        r#"select file_id,
            coalesce(device = $3 and inode = $4, false) as "same_inode!",
            coalesce(path = $2, false) as "same_path!",
            coalesce(fingerprint = $5, false) as "same_start!",
            array(select lower(r) from unnest(committed) r) as "starts!", array(select upper(r) from unnest(committed) r) as "ends!"
        from loader_files where sensor = $1 and (path = $2 or fingerprint = $5) order by id desc"#,
        sensor.as_str(),
        path,
        device as i64,
        inode as i64,
        start,
    )
    .fetch_all(on)
    .await?;
    let known = rows.into_iter().map(|row| KnownFile {
        file: FileId(row.file_id.into_bytes()),
        same_inode: row.same_inode,
        same_path: row.same_path,
        same_start: row.same_start,
        committed: row
            .starts
            .iter()
            .zip(&row.ends)
            .map(|(&start, &end)| (start as u64, end as u64))
            .collect(),
    });
    Ok(known.collect())
}

/// Returns the stored ones among these events, each with whether every column agrees with the line.
pub async fn stored_events(
    on: &mut PgConnection,
    sensor: &SensorId,
    records: &[&Record],
) -> Result<HashMap<EventId, bool>, Failure> {
    let ids: Vec<_> = records.iter().map(|r| Uuid::from_bytes(r.id.0)).collect();
    let times: Vec<_> = records.iter().map(|r| r.ts.and_then(DateTime::from_timestamp_micros)).collect();
    let sessions: Vec<_> = records.iter().map(|r| r.session.as_deref()).collect();
    let eventids: Vec<_> = records.iter().map(|r| r.eventid.as_str()).collect();
    let addresses: Vec<_> = records.iter().map(|r| r.src_ip.map(|ip| ip.to_string())).collect();
    let payloads: Vec<_> = records.iter().map(|r| r.payload.as_str()).collect();
    let lengths: Vec<_> = records.iter().map(|r| r.length as i32).collect();
    let rows = sqlx::query!(
        r#"select e.event_id,
            (e.session, e.eventid, e.src_ip, e.payload, e.length)
                is not distinct from (f.session, f.eventid, f.src_ip::inet, f.payload::jsonb, f.length) as "same!"
        from unnest($2::uuid[], $3::timestamptz[], $4::text[], $5::text[], $6::text[], $7::text[], $8::int4[])
            as f (event_id, ts, session, eventid, src_ip, payload, length)
        join events e on e.ts = coalesce(f.ts, '-infinity') and e.event_id = f.event_id and e.sensor = $1"#,
        sensor.as_str(),
        &ids,
        &times as &[Option<_>],
        &sessions as &[Option<&str>],
        &eventids as &[&str],
        &addresses as &[Option<String>],
        &payloads as &[&str],
        &lengths,
    )
    .fetch_all(on)
    .await?;
    Ok(rows.into_iter().map(|row| (EventId(row.event_id.into_bytes()), row.same)).collect())
}

/// A half-open range of event times in microseconds since 1970. Without bounds it also contains events
/// without a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Span {
    /// Inclusive.
    pub since: Option<i64>,
    /// Exclusive.
    pub until: Option<i64>,
}

impl Span {
    /// Whether the span contains an event of this time. An event without a time is before every time.
    pub fn contains(&self, ts: Option<i64>) -> bool {
        self.since.is_none_or(|since| ts.is_some_and(|ts| ts >= since))
            && self.until.is_none_or(|until| ts.is_none_or(|ts| ts < until))
    }

    fn bounds(&self) -> [Option<DateTime<Utc>>; 2] {
        [self.since, self.until].map(|at| at.and_then(DateTime::from_timestamp_micros))
    }
}

/// A stored event, and where it was read.
#[derive(Clone, Debug)]
pub struct Origin {
    pub event: EventId,
    /// `None` without a readable time.
    pub ts: Option<DateTime<Utc>>,
    /// The file, if it is a known one.
    pub file: Option<FileId>,
    /// The offset of the line.
    pub offset: Option<i64>,
    /// The event id as logged.
    pub eventid: String,
    pub session: Option<String>,
}

/// Returns the stored events that came from these files, or from no known file. One page: those after
/// `after`, in the order of time and id.
pub async fn events_under(
    on: &mut PgConnection,
    sensor: &SensorId,
    files: &[FileId],
    span: Span,
    after: Option<&Origin>,
    limit: i64,
) -> Result<Vec<Origin>, Failure> {
    let files: Vec<_> = files.iter().map(|file| Uuid::from_bytes(file.0)).collect();
    let [since, until] = span.bounds();
    let rows = sqlx::query!(
        r#"select event_id as "event_id!", case when isfinite(ts) then ts end as ts, f.file_id as "file_id?", source_offset, eventid as "eventid!", session
        from events e left join loader_files f on f.sensor = $1 and f.file_id = e.source_file
        where e.sensor = $1 and (f.file_id is null or f.file_id = any($2))
            and (e.ts, e.event_id) > (coalesce($3::timestamptz, '-infinity'), $4)
            and ($5::timestamptz is null or e.ts >= $5) and ($6::timestamptz is null or e.ts < $6)
        order by e.ts, e.event_id limit $7"#,
        sensor.as_str(),
        &files,
        after.and_then(|last| last.ts),
        Uuid::from_bytes(after.map_or([0; 16], |last| last.event.0)),
        since,
        until,
        limit,
    )
    .fetch_all(on)
    .await?;
    let origin = rows.into_iter().map(|row| Origin {
        event: EventId(row.event_id.into_bytes()),
        ts: row.ts,
        file: row.file_id.map(|file| FileId(file.into_bytes())),
        offset: row.source_offset,
        eventid: row.eventid,
        session: row.session,
    });
    Ok(origin.collect())
}

/// Counts of the events from one file.
#[derive(Clone, Debug)]
pub struct OtherFile {
    /// The path that was announced last.
    pub path: String,
    pub events: i64,
    /// The earliest time of its events.
    pub first: Option<DateTime<Utc>>,
    /// The latest time of its events.
    pub last: Option<DateTime<Utc>>,
}

/// Returns the other files of a sensor with the number of their events, oldest first.
pub async fn other_files(
    on: &mut PgConnection,
    sensor: &SensorId,
    files: &[FileId],
    span: Span,
) -> Result<Vec<OtherFile>, Failure> {
    let files: Vec<_> = files.iter().map(|file| Uuid::from_bytes(file.0)).collect();
    let [since, until] = span.bounds();
    let rows = sqlx::query!(
        r#"select coalesce(f.path, '') as "path!", count(*) as "events!",
            min(e.ts) filter (where isfinite(e.ts)) as first, max(e.ts) filter (where isfinite(e.ts)) as last
        from events e join loader_files f on f.sensor = $1 and f.file_id = e.source_file
        where e.sensor = $1 and not f.file_id = any($2) and ($3::timestamptz is null or e.ts >= $3) and ($4::timestamptz is null or e.ts < $4)
        group by f.id, f.path order by 3, 1"#,
        sensor.as_str(),
        &files,
        since,
        until,
    )
    .fetch_all(on)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| OtherFile { path: row.path, events: row.events, first: row.first, last: row.last })
        .collect())
}

/// Returns the stored ones among these dead letters.
pub async fn stored_dead(
    on: &mut PgConnection,
    ids: &[events::DeadId],
) -> Result<Vec<events::DeadId>, Failure> {
    let ids: Vec<_> = ids.iter().map(|id| Uuid::from_bytes(id.0)).collect();
    let rows = sqlx::query_scalar!("select dead_id from dead_letters where dead_id = any($1)", &ids)
        .fetch_all(on)
        .await?;
    Ok(rows.into_iter().map(|id| events::DeadId(id.into_bytes())).collect())
}

/// Recounts the rows of sessions from the stored events.
pub async fn recount_sessions(
    on: &mut PgConnection,
    sensor: &SensorId,
    sessions: &[String],
) -> Result<HashMap<String, SessionDelta>, Failure> {
    let rows =
        sqlx::query!(r#"select event_id, payload::text as "payload!", length from events where sensor = $1 and session = any($2)"#, sensor.as_str(), sessions,)
            .fetch_all(on)
            .await?;
    let mut sums = HashMap::<String, SessionDelta>::new();
    for row in rows {
        let Ok(mut record) = Record::read(sensor, row.payload.as_bytes()) else { continue };
        record.id = EventId(row.event_id.into_bytes());
        record.length = row.length as u64;
        let Some(delta) = SessionDelta::of(&record) else { continue };
        match sums.get_mut(&delta.session) {
            Some(sum) => sum.merge(delta),
            None => {
                sums.insert(delta.session.clone(), delta);
            }
        }
    }
    Ok(sums)
}

/// The columns of a session's row that its events determine.
#[derive(Clone, PartialEq, Debug)]
pub struct SessionRow {
    pub session: String,
    pub protocol: Option<String>,
    pub src_ip: Option<String>,
    pub src_port: Option<i32>,
    pub started_at: Option<DateTime<Utc>>,
    pub last_event_at: Option<DateTime<Utc>>,
    pub closed: bool,
    pub closed_at: Option<DateTime<Utc>>,
    pub reported_duration_ms: Option<i64>,
    pub client_version: Option<String>,
    pub hassh: Option<String>,
    pub username: Option<String>,
    pub password: Option<String>,
    pub event_count: i64,
    pub login_attempts: i64,
    pub login_successes: i64,
    pub command_count: i64,
    pub download_count: i64,
    pub upload_count: i64,
    pub forward_count: i64,
    pub bytes: i64,
}

impl SessionRow {
    /// The row that results from these additions.
    pub fn of(delta: &SessionDelta) -> Self {
        fn won<T: Clone>(ranked: &Option<events::Ranked<T>>) -> Option<T> {
            ranked.as_ref().map(|ranked| ranked.1.clone())
        }
        let time = |micros: Option<i64>| micros.and_then(DateTime::from_timestamp_micros);
        let login = won(&delta.login).unwrap_or_default();
        Self {
            session: delta.session.clone(),
            protocol: won(&delta.protocol),
            src_ip: won(&delta.src_ip).map(|ip| ip.to_string()),
            src_port: won(&delta.src_port).map(i32::from),
            started_at: time(delta.started_at),
            last_event_at: time(delta.last_event_at),
            closed: delta.closed,
            closed_at: time(delta.closed_at),
            reported_duration_ms: won(&delta.reported_duration_ms),
            client_version: won(&delta.client_version),
            hassh: won(&delta.hassh),
            username: login.0,
            password: login.1,
            event_count: delta.event_count,
            login_attempts: delta.login_attempts,
            login_successes: delta.login_successes,
            command_count: delta.command_count,
            download_count: delta.download_count,
            upload_count: delta.upload_count,
            forward_count: delta.forward_count,
            bytes: delta.bytes,
        }
    }

    /// Describes the columns that differ, as `column: stored, recounted`.
    pub fn differences(&self, recounted: &Self) -> Vec<String> {
        macro_rules! compare {
            ($($column:ident),*) => {
                [$((stringify!($column), format!("{:?}", self.$column), format!("{:?}", recounted.$column))),*]
            };
        }
        let columns = compare!(
            protocol,
            src_ip,
            src_port,
            started_at,
            last_event_at,
            closed,
            closed_at,
            reported_duration_ms,
            client_version,
            hassh,
            username,
            password,
            event_count,
            login_attempts,
            login_successes,
            command_count,
            download_count,
            upload_count,
            forward_count,
            bytes
        );
        let differ = columns.into_iter().filter(|(_, stored, counted)| stored != counted);
        differ.map(|(column, stored, counted)| format!("{column} is {stored}, recounted {counted}")).collect()
    }
}

pub async fn session_rows(
    on: &mut PgConnection,
    sensor: &SensorId,
    sessions: &[String],
) -> Result<Vec<SessionRow>, Failure> {
    let rows = sqlx::query_as!(
        SessionRow,
        r#"select session, protocol, host(src_ip) as src_ip, src_port, started_at, last_event_at, closed, closed_at, reported_duration_ms,
            client_version, hassh, username, password, event_count, login_attempts, login_successes, command_count, download_count, upload_count,
            forward_count, bytes
        from sessions where sensor = $1 and session = any($2)"#,
        sensor.as_str(),
        sessions,
    )
    .fetch_all(on)
    .await?;
    Ok(rows)
}

/// Returns the sessions of a sensor that have a row but no event.
pub async fn orphaned_sessions(on: &mut PgConnection, sensor: &SensorId) -> Result<Vec<String>, Failure> {
    let rows = sqlx::query_scalar!(
        "select s.session from sessions s where s.sensor = $1
        and not exists (select from events e where e.sensor = s.sensor and e.session = s.session) limit 1000",
        sensor.as_str(),
    )
    .fetch_all(on)
    .await?;
    Ok(rows)
}

/// Returns a sensor's row and its recount. The stored one is `None` when there is no row.
pub async fn recount_sensor(
    on: &mut PgConnection,
    sensor: &SensorId,
) -> Result<(Option<SensorDelta>, SensorDelta), Failure> {
    let micros = |at: Option<DateTime<Utc>>| at.map(|at| at.timestamp_micros());
    let counted = sqlx::query!(
        r#"select count(*) as "event_count!", coalesce(sum(length), 0)::int8 as "bytes!", count(*) filter (where not isfinite(ts)) as "outside!",
            min(ts) filter (where isfinite(ts)) as first, max(ts) filter (where isfinite(ts)) as last
        from events where sensor = $1"#,
        sensor.as_str(),
    )
    .fetch_one(&mut *on)
    .await?;
    let kinds = sqlx::query!(
        r#"select eventid, count(*) as "count!" from events where sensor = $1 group by 1"#,
        sensor.as_str()
    )
    .fetch_all(&mut *on)
    .await?;
    let unknown_count =
        kinds.iter().filter(|kind| !events::is_known(&kind.eventid)).map(|kind| kind.count).sum();
    let counted = SensorDelta {
        sensor: sensor.clone(),
        first_event_at: micros(counted.first),
        last_event_at: micros(counted.last),
        event_count: counted.event_count,
        outside_time_count: counted.outside,
        unknown_count,
        bytes: counted.bytes,
    };
    let stored = sqlx::query!(
        "select first_event_at, last_event_at, event_count, outside_time_count, unknown_count, bytes from sensors where sensor = $1",
        sensor.as_str()
    );
    let stored = stored.fetch_optional(on).await?.map(|row| SensorDelta {
        sensor: sensor.clone(),
        first_event_at: micros(row.first_event_at),
        last_event_at: micros(row.last_event_at),
        event_count: row.event_count,
        outside_time_count: row.outside_time_count,
        unknown_count: row.unknown_count,
        bytes: row.bytes,
    });
    Ok((stored, counted))
}

/// Returns rows of side tables that are missing, superfluous, or differ from their event, each with the name
/// of its table.
pub async fn wrong_side_rows(on: &mut PgConnection, sensor: &SensorId) -> Result<Vec<String>, Failure> {
    let mut wrong = Vec::new();
    for table in ["commands", "login_attempts", "downloads", "forwards", "client_fingerprints"] {
        let sql = format!(
            "select coalesce(a.event_id, b.event_id)::text, a.event_id is null, b.event_id is null
            from (select s.* from events e, {table}_of(e) s where e.sensor = $1) a
            full join (select * from {table} where sensor = $1) b on a.event_id = b.event_id
            where a is distinct from b order by 1 limit 1000"
        );
        let rows: Vec<(String, bool, bool)> =
            sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(sensor.as_str()).fetch_all(&mut *on).await?;
        wrong.extend(rows.into_iter().map(|(event, extra, missing)| {
            let what = if missing {
                "has no row"
            } else if extra {
                "has a row without its event"
            } else {
                "differs from its event"
            };
            format!("{table}: event {} {what}", event.replace('-', ""))
        }));
    }
    Ok(wrong)
}
