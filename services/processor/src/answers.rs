//! Answers loaders that ask which of their bytes are committed.

use boot::CancellationToken;
use bus::{Ask, Receipts, StreamMark, topology};
use store::{Connection, Failure};

use crate::Shared;

/// Answers until `stop`. When the database cannot answer now, the request stays unanswered and the loader
/// asks again.
pub(crate) async fn answer(shared: Shared, stop: CancellationToken) -> anyhow::Result<()> {
    let mut asks = shared.bus.asks().await?;
    loop {
        let ask = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            ask = asks.next() => ask,
        };
        let Some(ask) = ask else { anyhow::bail!("the subscription to receipt requests ended") };
        match look_up(&shared, &ask).await {
            Ok(receipts) => shared.bus.answer(ask, &receipts).await?,
            Err(failure) => tracing::warn!(
                error = %failure,
                "could not answer a request for receipts; the loader will ask again"
            ),
        }
    }
}

async fn look_up(shared: &Shared, ask: &Ask) -> Result<Receipts, Failure> {
    let mut connection = shared.store.connection().await?;
    // Read the marks before the files: everything that a mark reports as acknowledged was committed before.
    let stream = mark(&mut connection, topology::EVENTS).await?;
    let dead = mark(&mut connection, topology::DEAD).await?;
    let files = store::ingest::files::committed_of(&mut connection, &ask.sensor, &ask.files).await?;
    Ok(Receipts { stream, dead, files })
}

async fn mark(on: &mut Connection, stream: &str) -> Result<Option<StreamMark>, Failure> {
    let position = store::ingest::positions::get(on, stream).await?;
    Ok(position.map(|p| StreamMark { created: p.created, floor: p.floor }))
}
