//! Compares everything derived from events with a recount from the stored events.

use std::collections::HashMap;

use chrono::DateTime;
use store::{
    Connection, Store,
    verify::{self as db, Span},
};

use super::{read::Counted, report::Report};

/// Sessions recounted in one query.
const SESSIONS: usize = 200;

/// Recounts the panes of every day in the span from its events, over all sensors.
pub(super) async fn verify_windows(store: &Store, span: Span, report: &mut Report) -> anyhow::Result<()> {
    let mut transaction = store.begin_reading().await?;
    report.window_days_to_add = store::windows::recount::backfill_left(&mut transaction).await?;
    let date = |at: Option<i64>| at.and_then(DateTime::from_timestamp_micros).map(|at| at.date_naive());
    let (since, until) = (date(span.since), date(span.until));
    for day in store::windows::recount::recountable_days(&mut transaction).await? {
        if since.is_some_and(|since| day < since) || until.is_some_and(|until| day > until) {
            continue;
        }
        for difference in store::windows::recount::differences(&mut transaction, day).await? {
            report.wrong(format!("{day}: {difference}"));
        }
    }
    Ok(())
}

/// Computes the features of every session again, over all sensors.
pub(super) async fn verify_features(store: &Store, report: &mut Report) -> anyhow::Result<()> {
    let mut transaction = store.begin_reading().await?;
    let mut after = store::SessionKey::default();
    let finished = store::features::sessions_left(&mut transaction).await? == 0;
    while let Some(found) = store::features::differences(&mut transaction, &after).await? {
        if finished {
            found.outdated.into_iter().for_each(|(sensor, session)| {
                report.wrong(format!("features of session {session} of {sensor}: no row"))
            });
        } else {
            report.features_to_add += found.outdated.len() as u64;
        }
        found.wrong.into_iter().for_each(|difference| report.wrong(difference));
        after = found.last;
    }
    for (sensor, session) in store::features::orphaned(&mut transaction).await? {
        report.wrong(format!("features of session {session} of {sensor}: a row without a session"));
    }
    Ok(())
}

/// Recounts, from the stored events, every derived row that the files of a sensor affect.
pub(super) async fn recount(
    on: &mut Connection,
    counted: &Counted,
    report: &mut Report,
) -> anyhow::Result<()> {
    let sensor = &counted.sensor;
    let sessions: Vec<_> = counted.sessions.iter().cloned().collect();
    report.sessions += sessions.len() as u64;
    for some in sessions.chunks(SESSIONS) {
        let mut rows: HashMap<_, _> = db::session_rows(on, sensor, some)
            .await?
            .into_iter()
            .map(|row| (row.session.clone(), row))
            .collect();
        for (session, delta) in db::recount_sessions(on, sensor, some).await? {
            let Some(row) = rows.remove(&session) else {
                report.wrong(format!("session {session}: no row"));
                continue;
            };
            for difference in row.differences(&db::SessionRow::of(&delta)) {
                report.wrong(format!("session {session}: {difference}"));
            }
        }
    }
    for session in db::orphaned_sessions(on, sensor).await? {
        report.wrong(format!("session {session}: a row without events"));
    }
    for row in db::wrong_side_rows(on, sensor).await? {
        report.wrong(row);
    }
    let (stored, recounted) = db::recount_sensor(on, sensor).await?;
    match stored {
        Some(stored) if stored == recounted => (),
        None if recounted.event_count == 0 => (),
        stored => report.wrong(format!("sensor {sensor}: row is {stored:?}, recounted {recounted:?}")),
    }
    Ok(())
}
