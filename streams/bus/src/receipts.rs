//! Receipts: which bytes of which file Postgres has committed. A receipt is state, not a change: it has all
//! committed ranges of a file.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use anyhow::Context as _;
use async_nats::{Message, RequestErrorKind, Subscriber};
use events::{FileId, SensorId};
use futures::{Stream, StreamExt};
use serde::{Deserialize, Serialize};

use crate::{Bus, Subject, subjects, topology};

/// How long a loader waits for an answer from any processor.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// The position of the processor in a stream: everything up to `floor` was acknowledged, and therefore
/// committed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StreamMark {
    /// Creation time of the stream, nanoseconds since 1970.
    pub created: i64,
    /// The recorded floor of its consumer.
    pub floor: u64,
}

/// Committed ranges of some files of one sensor.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Receipts {
    /// The mark of EVENTS recorded in Postgres; `None` when none is recorded yet.
    pub stream: Option<StreamMark>,
    /// The same for DEAD.
    pub dead: Option<StreamMark>,
    /// Each file with all its committed ranges, sorted and disjoint. An answer lists every requested file;
    /// one that Postgres does not know has no ranges.
    pub files: Vec<(FileId, Vec<(u64, u64)>)>,
}

/// The receipts of one sensor as they arrive; some may be missed.
pub struct ReceiptsStream(Subscriber);

impl Stream for ReceiptsStream {
    type Item = Receipts;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Receipts>> {
        loop {
            match self.0.poll_next_unpin(cx) {
                Poll::Ready(Some(message)) => match serde_json::from_slice(&message.payload) {
                    Ok(receipts) => return Poll::Ready(Some(receipts)),
                    Err(error) => tracing::warn!(%error, "ignored a receipt that could not be parsed"),
                },
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

/// A loader's request for receipts.
pub struct Ask {
    pub sensor: SensorId,
    pub files: Vec<FileId>,
    message: Message,
}

/// The requests of all loaders, shared among the processors.
pub struct Asks(Subscriber);

impl Asks {
    /// The next request; `None` when the connection was closed.
    pub async fn next(&mut self) -> Option<Ask> {
        loop {
            let message = self.0.next().await?;
            let files = serde_json::from_slice(&message.payload).ok();
            if let (Some(sensor), Some(files)) = (subjects::sensor_of(&message.subject), files) {
                return Some(Ask { sensor, files, message });
            }
            tracing::warn!("ignored a request for receipts that could not be parsed");
        }
    }
}

impl Bus {
    pub async fn receipts(&self, sensor: &SensorId) -> anyhow::Result<ReceiptsStream> {
        let subject = String::from(Subject::receipts(sensor));
        self.client.subscribe(subject).await.map(ReceiptsStream).context("subscribe to receipts")
    }

    /// Requests the receipts of these files (at most 1 000 at a time) from any processor, which reads them
    /// from Postgres. `None` when no processor answered within 2 s.
    pub async fn ask_receipts(
        &self,
        sensor: &SensorId,
        files: &[FileId],
    ) -> anyhow::Result<Option<Receipts>> {
        let payload = serde_json::to_vec(files).context("write a request for receipts")?;
        let request = self.client.request(String::from(Subject::ask(sensor)), payload.into());
        match tokio::time::timeout(ANSWER_TIMEOUT, request).await {
            Ok(Ok(answer)) => {
                serde_json::from_slice(&answer.payload).map(Some).context("read the answer about receipts")
            }
            Ok(Err(error))
                if matches!(error.kind(), RequestErrorKind::NoResponders | RequestErrorKind::TimedOut) =>
            {
                Ok(None)
            }
            Ok(Err(error)) => Err(error).context("ask for receipts"),
            Err(_) => Ok(None),
        }
    }

    /// Publishes receipts. Nothing is lost if they do not arrive.
    pub async fn send_receipts(&self, sensor: &SensorId, receipts: &Receipts) -> anyhow::Result<()> {
        let payload = serde_json::to_vec(receipts).context("write receipts")?;
        self.client
            .publish(String::from(Subject::receipts(sensor)), payload.into())
            .await
            .context("publish receipts")
    }

    /// Subscribes to the loaders' requests; each request goes to one processor.
    pub async fn asks(&self) -> anyhow::Result<Asks> {
        let asks = self.client.queue_subscribe("cowrie.receipts.*.ask", topology::PROCESSOR.into()).await;
        asks.map(Asks).context("subscribe to requests for receipts")
    }

    pub async fn answer(&self, ask: Ask, receipts: &Receipts) -> anyhow::Result<()> {
        let Some(reply) = ask.message.reply else { return Ok(()) };
        let payload = serde_json::to_vec(receipts).context("write receipts")?;
        self.client.publish(reply, payload.into()).await.context("answer a request for receipts")
    }
}
