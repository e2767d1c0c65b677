//! Reads sessions from the database into a data set.

use analysis::{
    Data, DataBuilder,
    data::{MOST_INPUTS, MOST_LOGINS, Row},
};
use store::analyses::{DataPlace, DataRange, DataSession};

use super::context::AnalysisContext;
use crate::{backend::Reader, error::AttemptError};

/// Sessions per query.
const CHUNK: i64 = 2_000;

/// The data set of a range. Calls `report` after each chunk with the number of sessions so far. No connection
/// is held between chunks.
pub(crate) async fn load(
    reader: &Reader,
    range: &DataRange,
    mut report: impl FnMut(u64) -> Result<(), AttemptError>,
) -> Result<Data, AttemptError> {
    let (mut builder, mut place, mut loaded) = (DataBuilder::default(), DataPlace::default(), 0);
    loop {
        let sessions = reader.sessions(range, &mut place, CHUNK).await?;
        if sessions.is_empty() {
            return Ok(builder.build());
        }
        loaded += sessions.len() as u64;
        sessions.iter().for_each(|session| push(&mut builder, session));
        report(loaded)?;
    }
}

/// The data set of a range, with progress.
pub async fn data_set(context: &AnalysisContext, range: &DataRange) -> anyhow::Result<Data> {
    let sessions = context.reader()?.session_count(range).await?;
    context.set_sessions(sessions);
    let report =
        |loaded: u64| context.report("reading sessions", (loaded as f64 / sessions.max(1) as f64).min(1.0));
    Ok(load(context.reader()?, range, report).await?)
}

fn push(builder: &mut DataBuilder, session: &DataSession) {
    fn texts(list: &[String]) -> Vec<&str> {
        list.iter().take(MOST_INPUTS).map(String::as_str).collect()
    }
    let sequence = session.sequence.as_ref().and_then(|sequence| {
        let fingerprint = <[u8; 16]>::try_from(&sequence.fingerprint[..]).ok()?;
        Some((fingerprint, sequence.length, sequence.commands.as_str()))
    });
    builder.push(&Row {
        sensor: &session.sensor,
        session: &session.session,
        source: session.source.as_ref().and_then(|source| source.parse().ok()),
        started: session.started_at.timestamp_micros(),
        seconds: session.seconds,
        client: session.client.as_deref(),
        hassh: session.hassh.as_deref(),
        logins: session
            .logins
            .iter()
            .take(MOST_LOGINS)
            .map(|(username, password, success)| (username.as_str(), password.as_deref(), *success))
            .collect(),
        inputs: texts(&session.inputs),
        sequence,
        files: texts(&session.files),
        urls: texts(&session.urls),
        targets: texts(&session.targets),
        keys: texts(&session.keys),
        vector: &session.vector,
    });
}
