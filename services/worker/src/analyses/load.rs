//! Sessions from the database into a data set.

use analysis::{
    Data, DataBuilder,
    data::{MOST_INPUTS, MOST_LOGINS, Row},
};
use store::{DataPlace, DataRange, DataSession, Store};

use super::desk::Desk;
use crate::attempt::Ended;

/// Sessions read at a time.
const CHUNK: i64 = 2_000;

/// The data set of a range; tells after each chunk how many sessions there are so far. No connection is held
/// between chunks.
pub(crate) async fn load(
    store: &Store,
    range: &DataRange,
    mut tell: impl FnMut(u64) -> Result<(), Ended>,
) -> Result<Data, Ended> {
    let (mut builder, mut place, mut loaded) = (DataBuilder::default(), DataPlace::default(), 0);
    loop {
        let mut connection = store.connection().await?;
        let sessions = store::data_sessions(&mut connection, range, &mut place, CHUNK).await?;
        drop(connection);
        if sessions.is_empty() {
            return Ok(builder.build());
        }
        loaded += sessions.len() as u64;
        sessions.iter().for_each(|session| push(&mut builder, session));
        tell(loaded)?;
    }
}

/// The data set of a range, told about at the desk.
pub async fn data_set(desk: &Desk, range: &DataRange) -> anyhow::Result<Data> {
    let mut transaction = desk.store()?.begin_long().await?;
    let sessions: i64 =
        store::day_digests(&mut transaction, range).await?.iter().map(|day| day.sessions).sum();
    drop(transaction);
    desk.sessions(sessions.unsigned_abs());
    let tell = |loaded: u64| desk.tell("reading sessions", (loaded as f64 / sessions.max(1) as f64).min(1.0));
    Ok(load(desk.store()?, range, tell).await?)
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
