//! The input of analyses: sessions of a time range that have features, with what was tried, typed and fetched
//! in each.

use std::{collections::HashMap, sync::Arc};

use chrono::{DateTime, Utc};
use events::features::VERSION;
use sqlx::PgConnection;

use crate::Failure;

/// Most logins, commands, files and URLs read of a session: the first ones of each.
const MOST: i64 = 1_000;
/// Most characters read of a command: the first ones.
const LONGEST_INPUT: i32 = 64 << 10;

/// Which sessions: those that began in a range of time.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct DataRange {
    /// From this moment on.
    pub from: DateTime<Utc>,
    /// Exclusive.
    pub to: DateTime<Utc>,
    /// `None` selects all sensors.
    pub sensor: Option<String>,
}

#[derive(Clone, PartialEq, Debug)]
pub struct DataSession {
    pub sensor: String,
    pub session: String,
    pub source: Option<String>,
    /// Time of its first event.
    pub started_at: DateTime<Utc>,
    /// From session.closed, else from the first to the last event.
    pub seconds: f64,
    pub client: Option<String>,
    /// MD5 of the client's algorithms.
    pub hassh: Option<String>,
    /// The commands that were typed.
    pub sequence: Option<Arc<DataSequence>>,
    /// `session_features.vector`.
    pub vector: Vec<f32>,
    /// User name, password (`None`: a public key), and whether the login succeeded; in order of time.
    pub logins: Vec<(String, Option<String>, bool)>,
    /// Commands as typed, in order of time.
    pub inputs: Vec<String>,
    /// SHA-256 of files fetched or left, in order of time.
    pub files: Vec<String>,
    /// URLs that files were fetched from, in order of time.
    pub urls: Vec<String>,
    /// Targets of forwarded connections as `host:port`, in order of time.
    pub targets: Vec<String>,
    /// Fingerprints of the public keys that were offered, in order of time.
    pub keys: Vec<String>,
}

/// A row of `command_sequences`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DataSequence {
    /// Identifies all of its commands.
    pub fingerprint: Vec<u8>,
    pub length: usize,
    /// The first commands, one a line.
    pub commands: String,
}

/// The position of a reader in a [`DataRange`]: the last session read, in the order of (start, sensor,
/// session).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DataPlace {
    last: Option<(DateTime<Utc>, String, String)>,
    sequences: HashMap<Vec<u8>, Arc<DataSequence>>,
}

/// Returns the next sessions of a range, at most `limit`; none at its end. The place caches sequences, so
/// that each is read once.
pub async fn sessions(
    on: &mut PgConnection,
    range: &DataRange,
    place: &mut DataPlace,
    limit: i64,
) -> Result<Vec<DataSession>, Failure> {
    let last = place.last.clone().unwrap_or_else(|| (range.from, String::new(), String::new()));
    let rows = sqlx::query!(
        r#"select s.sensor, s.session, host(s.src_ip) as source, s.started_at as "started_at!", s.client_version as client, s.hassh,
            coalesce(s.reported_duration_ms / 1e3, extract(epoch from s.last_event_at - s.started_at), 0)::float8 as "seconds!",
            f.sequence, f.vector, s.login_attempts > 0 as "logins!", s.command_count > 0 as "inputs!",
            s.download_count + s.upload_count > 0 as "files!", s.forward_count > 0 as "forwards!"
        from sessions s join session_features f on f.sensor = s.sensor and f.session = s.session
        where s.started_at >= $1 and s.started_at < $2 and (s.started_at, s.sensor, s.session) > ($1, $3, $4)
            and ($5::text is null or s.sensor = $5) and f.version = $6
        order by s.started_at, s.sensor, s.session limit $7"#,
        last.0,
        range.to,
        last.1,
        last.2,
        range.sensor,
        VERSION,
        limit,
    )
    .fetch_all(&mut *on)
    .await?;
    let Some(newest) = rows.last() else { return Ok(Vec::new()) };
    place.last = Some((newest.started_at, newest.sensor.clone(), newest.session.clone()));
    let unknown: Vec<_> = rows
        .iter()
        .filter_map(|row| row.sequence.clone())
        .filter(|sequence| !place.sequences.contains_key(sequence))
        .collect();
    place.sequences.extend(sequences(on, &unknown).await?);
    let which = |has: &dyn Fn(usize) -> bool| (0..rows.len()).filter(|&n| has(n)).collect::<Vec<_>>();
    let (with_logins, with_inputs) = (which(&|n| rows[n].logins), which(&|n| rows[n].inputs));
    // Only SSH clients offer keys, and they send their version.
    let (with_files, with_targets, with_keys) =
        (which(&|n| rows[n].files), which(&|n| rows[n].forwards), which(&|n| rows[n].client.is_some()));
    let mut sessions: Vec<_> = rows
        .into_iter()
        .map(|row| DataSession {
            sequence: row.sequence.and_then(|sequence| place.sequences.get(&sequence).cloned()),
            sensor: row.sensor,
            session: row.session,
            source: row.source,
            started_at: row.started_at,
            seconds: row.seconds,
            client: row.client,
            hassh: row.hassh,
            vector: row.vector,
            logins: Vec::new(),
            inputs: Vec::new(),
            files: Vec::new(),
            urls: Vec::new(),
            targets: Vec::new(),
            keys: Vec::new(),
        })
        .collect();
    add_logins(on, &mut sessions, &with_logins).await?;
    add_inputs(on, &mut sessions, &with_inputs).await?;
    add_files(on, &mut sessions, &with_files).await?;
    add_targets(on, &mut sessions, &with_targets).await?;
    add_keys(on, &mut sessions, &with_keys).await?;
    Ok(sessions)
}

async fn sequences(
    on: &mut PgConnection,
    which: &[Vec<u8>],
) -> Result<Vec<(Vec<u8>, Arc<DataSequence>)>, Failure> {
    if which.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query!(
        "select sequence, length, commands from command_sequences where sequence = any($1)",
        which
    )
    .fetch_all(on)
    .await?;
    let read = |fingerprint: Vec<u8>, length: i32, commands| {
        (
            fingerprint.clone(),
            Arc::new(DataSequence { fingerprint, length: length.unsigned_abs() as usize, commands }),
        )
    };
    Ok(rows.into_iter().map(|row| read(row.sequence, row.length, row.commands)).collect())
}

/// Returns the keys of the selected sessions, and their indices.
fn keys(sessions: &[DataSession], which: &[usize]) -> (Vec<String>, Vec<String>, Vec<i32>) {
    let of =
        |field: fn(&DataSession) -> &String| which.iter().map(|&n| field(&sessions[n]).clone()).collect();
    (of(|session| &session.sensor), of(|session| &session.session), which.iter().map(|&n| n as i32).collect())
}

/// Rows of a side table that belong to sessions, each with `n`, its session's index in `sessions`: per
/// session the first ones, in the order in which `events::features` expects events (those without a readable
/// time last).
macro_rules! side_rows {
    ($on:expr, $sessions:expr, $which:expr, $columns:tt, $rows:tt as $alias:tt $(, $more:expr)*) => {
        if $which.is_empty() {
            Vec::new()
        } else {
            let (sensors, names, places) = keys($sessions, $which);
            sqlx::query!(
                r#"select k.n as "n!", "# + $columns + r#"
        from unnest($1::text[], $2::text[], $3::int4[]) as k (sensor, session, n)
        cross join lateral (
            "# + $rows + r#"
            order by ts = '-infinity', ts, event_id limit $4
        ) "# + $alias + r#"
        order by k.n, "# + $alias + r#".ts = '-infinity', "# + $alias + r#".ts, "# + $alias + r#".event_id"#,
                &sensors,
                &names,
                &places,
                MOST
                $(, $more)*
            )
            .fetch_all($on)
            .await?
        }
    };
}

async fn add_logins(
    on: &mut PgConnection,
    sessions: &mut [DataSession],
    which: &[usize],
) -> Result<(), Failure> {
    let rows = side_rows!(
        on,
        sessions,
        which,
        r#"l.username, l.password, l.success as "success!""#,
        "select username, password, success, ts, event_id from login_attempts l where l.sensor = k.sensor and l.session = k.session" as "l"
    );
    for row in rows {
        sessions[row.n as usize].logins.push((row.username.unwrap_or_default(), row.password, row.success));
    }
    Ok(())
}

async fn add_inputs(
    on: &mut PgConnection,
    sessions: &mut [DataSession],
    which: &[usize],
) -> Result<(), Failure> {
    let rows = side_rows!(
        on,
        sessions,
        which,
        r#"c.input as "input!""#,
        "select left(input, $5) as input, ts, event_id from commands c
            where c.sensor = k.sensor and c.session = k.session and c.kind = 'input' and c.input is not null" as "c",
        LONGEST_INPUT
    );
    for row in rows {
        sessions[row.n as usize].inputs.push(row.input);
    }
    Ok(())
}

async fn add_files(
    on: &mut PgConnection,
    sessions: &mut [DataSession],
    which: &[usize],
) -> Result<(), Failure> {
    let rows = side_rows!(
        on,
        sessions,
        which,
        r#"d.kind as "kind!", d.url, d.shasum"#,
        "select kind, url, shasum, ts, event_id from downloads d where d.sensor = k.sensor and d.session = k.session and d.kind <> 'failed'" as "d"
    );
    for row in rows {
        let session = &mut sessions[row.n as usize];
        session.files.extend(row.shasum.filter(|shasum| !shasum.is_empty()));
        session.urls.extend(row.url.filter(|url| !url.is_empty() && row.kind == "download"));
    }
    Ok(())
}

async fn add_targets(
    on: &mut PgConnection,
    sessions: &mut [DataSession],
    which: &[usize],
) -> Result<(), Failure> {
    let rows = side_rows!(
        on,
        sessions,
        which,
        r#"f.dst_host || ':' || f.dst_port as "target!""#,
        "select dst_host, dst_port, ts, event_id from forwards f
            where f.sensor = k.sensor and f.session = k.session and f.dst_host <> '' and f.dst_port is not null" as "f"
    );
    for row in rows {
        sessions[row.n as usize].targets.push(row.target);
    }
    Ok(())
}

async fn add_keys(
    on: &mut PgConnection,
    sessions: &mut [DataSession],
    which: &[usize],
) -> Result<(), Failure> {
    let rows = side_rows!(
        on,
        sessions,
        which,
        r#"c.fingerprint as "fingerprint!""#,
        "select fingerprint, ts, event_id from client_fingerprints c
            where c.sensor = k.sensor and c.session = k.session and c.kind = 'key' and c.fingerprint <> ''" as "c"
    );
    for row in rows {
        sessions[row.n as usize].keys.push(row.fingerprint);
    }
    Ok(())
}

/// Summary of the sessions of a UTC day, to detect changes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DayDigest {
    /// The start of the day.
    pub day: DateTime<Utc>,
    /// Sessions that began on this day and in the range.
    pub sessions: i64,
    /// Changes when any of them is added, changed or removed.
    pub digest: Vec<u8>,
}

/// Returns the days of a range that have sessions, oldest first. Data that is loaded afterwards is at least
/// as new as its digest. When a cache keeps both, any later change gives another digest.
pub async fn day_digests(on: &mut PgConnection, range: &DataRange) -> Result<Vec<DayDigest>, Failure> {
    let days = sqlx::query_as!(
        DayDigest,
        r#"select date_trunc('day', s.started_at) as "day!", count(*) as "sessions!",
            int8send(count(*)) || int8send(bit_xor(hashint8extended(f.xmin::text::int8, hashtextextended(f.session, hashtextextended(f.sensor, 0))))) as "digest!"
        from sessions s join session_features f on f.sensor = s.sensor and f.session = s.session
        where s.started_at >= $1 and s.started_at < $2 and ($3::text is null or s.sensor = $3) and f.version = $4
        group by 1 order by 1"#,
        range.from,
        range.to,
        range.sensor,
        VERSION,
    )
    .fetch_all(on)
    .await?;
    Ok(days)
}
