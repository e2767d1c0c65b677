//! What analyses read: the sessions of a time range that have features, with what was tried, typed and
//! fetched in each.

use std::{collections::HashMap, sync::Arc};

use chrono::{DateTime, Utc};
use events::features::VERSION;
use sqlx::PgConnection;

use crate::Failure;

/// Logins, commands, files and links of a session that are read: of each the first so many.
const MOST: i64 = 1_000;
/// Of a command, the first so many characters are read.
const LONGEST_INPUT: i32 = 64 << 10;

/// Which sessions: those that began in a range of time.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct DataRange {
    /// From this moment on.
    pub from: DateTime<Utc>,
    /// Before this one.
    pub to: DateTime<Utc>,
    /// Of one sensor; of all without it.
    pub sensor: Option<String>,
}

/// A session as analyses read it.
#[derive(Clone, PartialEq, Debug)]
pub struct DataSession {
    /// The configured sensor id.
    pub sensor: String,
    /// Cowrie's session id.
    pub session: String,
    /// Where it came from.
    pub source: Option<String>,
    /// Its first event.
    pub started_at: DateTime<Utc>,
    /// As session.closed says, else from the first to the last event.
    pub seconds: f64,
    /// The client's version.
    pub client: Option<String>,
    /// MD5 of the client's algorithms.
    pub hassh: Option<String>,
    /// What was typed.
    pub sequence: Option<Arc<DataSequence>>,
    /// `session_features.vector`.
    pub vector: Vec<f32>,
    /// User name, password (`None`: a public key), whether it was right; in the order of time.
    pub logins: Vec<(String, Option<String>, bool)>,
    /// Commands as typed, in the order of time.
    pub inputs: Vec<String>,
    /// SHA-256 of files fetched or left, in the order of time.
    pub files: Vec<String>,
    /// Links that files were fetched from, in the order of time.
    pub urls: Vec<String>,
    /// Targets of forwarded connections as `host:port`, in the order of time.
    pub targets: Vec<String>,
    /// Fingerprints of the public keys that were offered, in the order of time.
    pub keys: Vec<String>,
}

/// A row of `command_sequences`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DataSequence {
    /// Of every command.
    pub fingerprint: Vec<u8>,
    /// How many commands.
    pub length: usize,
    /// The first of them, one a line.
    pub commands: String,
}

/// Where a reader of a [`DataRange`] is: after this session, in the order of (start, sensor, session).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DataPlace {
    last: Option<(DateTime<Utc>, String, String)>,
    sequences: HashMap<Vec<u8>, Arc<DataSequence>>,
}

/// The next sessions of a range, at most `limit`; none at its end. Sequences are kept in the place, so each
/// is read once.
pub async fn data_sessions(
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
    // Only SSH clients, which send their version, offer keys.
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

/// The keys of some sessions, and their places.
fn keys(sessions: &[DataSession], which: &[usize]) -> (Vec<String>, Vec<String>, Vec<i32>) {
    let of =
        |field: fn(&DataSession) -> &String| which.iter().map(|&n| field(&sessions[n]).clone()).collect();
    (of(|session| &session.sensor), of(|session| &session.session), which.iter().map(|&n| n as i32).collect())
}

// In the order in which `events::features` takes events: those without a readable time last.

async fn add_logins(
    on: &mut PgConnection,
    sessions: &mut [DataSession],
    which: &[usize],
) -> Result<(), Failure> {
    if which.is_empty() {
        return Ok(());
    }
    let (sensors, names, places) = keys(sessions, which);
    let rows = sqlx::query!(
        r#"select k.n as "n!", l.username, l.password, l.success as "success!"
        from unnest($1::text[], $2::text[], $3::int4[]) as k (sensor, session, n)
        cross join lateral (
            select username, password, success, ts, event_id from login_attempts l where l.sensor = k.sensor and l.session = k.session
            order by ts = '-infinity', ts, event_id limit $4
        ) l
        order by k.n, l.ts = '-infinity', l.ts, l.event_id"#,
        &sensors,
        &names,
        &places,
        MOST,
    )
    .fetch_all(on)
    .await?;
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
    if which.is_empty() {
        return Ok(());
    }
    let (sensors, names, places) = keys(sessions, which);
    let rows = sqlx::query!(
        r#"select k.n as "n!", c.input as "input!"
        from unnest($1::text[], $2::text[], $3::int4[]) as k (sensor, session, n)
        cross join lateral (
            select left(input, $5) as input, ts, event_id from commands c
            where c.sensor = k.sensor and c.session = k.session and c.kind = 'input' and c.input is not null
            order by ts = '-infinity', ts, event_id limit $4
        ) c
        order by k.n, c.ts = '-infinity', c.ts, c.event_id"#,
        &sensors,
        &names,
        &places,
        MOST,
        LONGEST_INPUT,
    )
    .fetch_all(on)
    .await?;
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
    if which.is_empty() {
        return Ok(());
    }
    let (sensors, names, places) = keys(sessions, which);
    let rows = sqlx::query!(
        r#"select k.n as "n!", d.kind as "kind!", d.url, d.shasum
        from unnest($1::text[], $2::text[], $3::int4[]) as k (sensor, session, n)
        cross join lateral (
            select kind, url, shasum, ts, event_id from downloads d where d.sensor = k.sensor and d.session = k.session and d.kind <> 'failed'
            order by ts = '-infinity', ts, event_id limit $4
        ) d
        order by k.n, d.ts = '-infinity', d.ts, d.event_id"#,
        &sensors,
        &names,
        &places,
        MOST,
    )
    .fetch_all(on)
    .await?;
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
    if which.is_empty() {
        return Ok(());
    }
    let (sensors, names, places) = keys(sessions, which);
    let rows = sqlx::query!(
        r#"select k.n as "n!", f.dst_host || ':' || f.dst_port as "target!"
        from unnest($1::text[], $2::text[], $3::int4[]) as k (sensor, session, n)
        cross join lateral (
            select dst_host, dst_port, ts, event_id from forwards f
            where f.sensor = k.sensor and f.session = k.session and f.dst_host <> '' and f.dst_port is not null
            order by ts = '-infinity', ts, event_id limit $4
        ) f
        order by k.n, f.ts = '-infinity', f.ts, f.event_id"#,
        &sensors,
        &names,
        &places,
        MOST,
    )
    .fetch_all(on)
    .await?;
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
    if which.is_empty() {
        return Ok(());
    }
    let (sensors, names, places) = keys(sessions, which);
    let rows = sqlx::query!(
        r#"select k.n as "n!", c.fingerprint as "fingerprint!"
        from unnest($1::text[], $2::text[], $3::int4[]) as k (sensor, session, n)
        cross join lateral (
            select fingerprint, ts, event_id from client_fingerprints c
            where c.sensor = k.sensor and c.session = k.session and c.kind = 'key' and c.fingerprint <> ''
            order by ts = '-infinity', ts, event_id limit $4
        ) c
        order by k.n, c.ts = '-infinity', c.ts, c.event_id"#,
        &sensors,
        &names,
        &places,
        MOST,
    )
    .fetch_all(on)
    .await?;
    for row in rows {
        sessions[row.n as usize].keys.push(row.fingerprint);
    }
    Ok(())
}

/// What the sessions of a UTC day look like.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DayDigest {
    /// Its first moment.
    pub day: DateTime<Utc>,
    /// Sessions that began on it, and in the range.
    pub sessions: i64,
    /// Changes when any of them comes, changes or goes.
    pub digest: Vec<u8>,
}

/// The days of a range that have sessions, oldest first. What is loaded after this is at least as new as its
/// digest: kept with it, a change since makes the next digest another one.
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
