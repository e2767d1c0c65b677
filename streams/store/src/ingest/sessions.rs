//! The table `sessions`: commutative merges, and session summaries queued for SESSIONS.

use chrono::DateTime;
use events::{Ranked, SessionDelta};
use sqlx::PgConnection;

use crate::{Failure, SessionKey};

/// Most sessions closed by one sweep.
const SWEEP: i64 = 1_000;

/// A session after a merge.
#[derive(Clone, Debug)]
pub struct MergedSession {
    pub sensor: String,
    pub session: String,
    pub event_count: i64,
    pub closed: bool,
}

/// Merges deltas (one per session, sorted by `(sensor, session)`) into their rows, and queues a summary of
/// every closed session.
pub async fn merge(on: &mut PgConnection, deltas: &[SessionDelta]) -> Result<Vec<MergedSession>, Failure> {
    fn column<'a, T>(deltas: &'a [SessionDelta], value: impl Fn(&'a SessionDelta) -> T) -> Vec<T> {
        deltas.iter().map(value).collect()
    }
    fn rank<T>(ranked: &Option<Ranked<T>>) -> Option<Vec<u8>> {
        ranked.as_ref().map(|Ranked(rank, _)| rank.to_bytes())
    }
    fn won<T>(ranked: &Option<Ranked<T>>) -> Option<&T> {
        ranked.as_ref().map(|Ranked(_, value)| value)
    }
    let time = |micros: Option<i64>| micros.and_then(DateTime::from_timestamp_micros);
    let merged = sqlx::query_file_as!(
        MergedSession,
        "queries/merge_sessions.sql",
        &column(deltas, |d| d.sensor.as_str()) as &[&str],
        &column(deltas, |d| d.session.as_str()) as &[&str],
        &column(deltas, |d| won(&d.protocol).map(String::as_str)) as &[Option<&str>],
        &column(deltas, |d| rank(&d.protocol)) as &[Option<Vec<u8>>],
        &column(deltas, |d| won(&d.src_ip).map(ToString::to_string)) as &[Option<String>],
        &column(deltas, |d| rank(&d.src_ip)) as &[Option<Vec<u8>>],
        &column(deltas, |d| won(&d.src_port).map(|&port| i32::from(port))) as &[Option<i32>],
        &column(deltas, |d| rank(&d.src_port)) as &[Option<Vec<u8>>],
        &column(deltas, |d| time(d.started_at)) as &[Option<_>],
        &column(deltas, |d| time(d.last_event_at)) as &[Option<_>],
        &column(deltas, |d| d.closed),
        &column(deltas, |d| time(d.closed_at)) as &[Option<_>],
        &column(deltas, |d| won(&d.reported_duration_ms).copied()) as &[Option<i64>],
        &column(deltas, |d| rank(&d.reported_duration_ms)) as &[Option<Vec<u8>>],
        &column(deltas, |d| won(&d.client_version).map(String::as_str)) as &[Option<&str>],
        &column(deltas, |d| rank(&d.client_version)) as &[Option<Vec<u8>>],
        &column(deltas, |d| won(&d.hassh).map(String::as_str)) as &[Option<&str>],
        &column(deltas, |d| rank(&d.hassh)) as &[Option<Vec<u8>>],
        &column(deltas, |d| won(&d.login).and_then(|login| login.0.as_deref())) as &[Option<&str>],
        &column(deltas, |d| won(&d.login).and_then(|login| login.1.as_deref())) as &[Option<&str>],
        &column(deltas, |d| rank(&d.login)) as &[Option<Vec<u8>>],
        &column(deltas, |d| d.event_count),
        &column(deltas, |d| d.login_attempts),
        &column(deltas, |d| d.login_successes),
        &column(deltas, |d| d.command_count),
        &column(deltas, |d| d.download_count),
        &column(deltas, |d| d.upload_count),
        &column(deltas, |d| d.forward_count),
        &column(deltas, |d| d.bytes),
    )
    .fetch_all(on)
    .await?;
    Ok(merged)
}

/// Marks sessions as idle when their sensor has seen an hour of later events, and queues their summaries.
/// Call it in a transaction, until it returns none.
pub async fn close_idle(on: &mut PgConnection) -> Result<Vec<SessionKey>, Failure> {
    let closed = sqlx::query_file!("queries/close_idle.sql", SWEEP).fetch_all(on).await?;
    Ok(closed.into_iter().map(|row| (row.sensor, row.session)).collect())
}
