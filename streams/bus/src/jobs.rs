//! JOBS and STATUS: permits to look for work, and the status and progress of jobs.

use std::{pin::Pin, time::Duration};

use anyhow::Context as _;
use async_nats::jetstream::{
    AckKind, Message,
    consumer::{AckPolicy, Consumer, pull},
};
use bytes::Bytes;
use futures::{Stream, StreamExt};

use crate::{Ack, Bus, PublishError, Subject, topology::JOBS};

/// A permit is delivered again when its worker was silent for this long.
const ACK_WAIT: Duration = Duration::from_secs(30);
/// How long a pull request waits at the server.
const PULL_EXPIRES: Duration = Duration::from_secs(5);

/// How long an optional message may delay its sender. The client's queue is full when the broker is
/// unreachable or slow.
const SEND_LIMIT: Duration = Duration::from_millis(200);

/// The kind of a message about a job.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum News {
    /// The state of the job changed.
    Status,
    /// The job made progress within its state.
    Progress,
}

pub type Messages = Pin<Box<dyn Stream<Item = Bytes> + Send>>;

impl Bus {
    pub async fn publish_permit(&self, queue: &str, job_id: &str) -> Result<Ack, PublishError> {
        let subject = Subject::jobs(queue)
            .ok_or_else(|| PublishError::Failed(format!("{queue:?} cannot be a subject")))?;
        self.publish(subject, async_nats::HeaderMap::new(), Bytes::copy_from_slice(job_id.as_bytes())).await
    }

    /// Publishes the status of a job to all subscribers, without acknowledgement. Postgres holds what must
    /// not be lost.
    pub async fn tell_of_job(&self, news: News, job_id: &str, status: String) {
        let Some(subject) = Subject::of_job(news, job_id) else { return };
        if !self.connected() {
            return;
        }
        let publishing = self.client.publish(String::from(subject), status.into());
        let outcome = match tokio::time::timeout(SEND_LIMIT, publishing).await {
            Ok(outcome) => outcome.map_err(anyhow::Error::from),
            Err(_) => Err(anyhow::anyhow!("the broker did not read for {SEND_LIMIT:?}")),
        };
        self.job_news.report(outcome);
    }

    /// Subscribes to the messages about all jobs.
    pub async fn follow_jobs(&self) -> anyhow::Result<Messages> {
        let mut all = Vec::new();
        for news in [News::Status, News::Progress] {
            let subject = Subject::of_job(news, "*").context("make the subject of all jobs")?;
            all.push(
                self.client
                    .subscribe(String::from(subject))
                    .await
                    .context("subscribe to the status of jobs")?
                    .map(|message| message.payload),
            );
        }
        Ok(Box::pin(futures::stream::select_all(all)))
    }

    /// Creates or binds the durable consumer of a queue.
    pub async fn permits(&self, queue: &str) -> anyhow::Result<Permits> {
        let subject = Subject::jobs(queue).with_context(|| format!("{queue:?} cannot be a subject"))?;
        let config = pull::Config {
            durable_name: Some(queue.to_owned()),
            filter_subject: subject.into(),
            ack_policy: AckPolicy::Explicit,
            ack_wait: ACK_WAIT,
            max_ack_pending: 50_000,
            max_deliver: -1,
            ..Default::default()
        };
        let consumer = self
            .jetstream
            .create_consumer_on_stream(config, JOBS)
            .await
            .with_context(|| format!("bind the consumer of queue {queue}"))?;
        Ok(Permits { consumer })
    }
}

/// The durable consumer of one queue.
pub struct Permits {
    consumer: Consumer<pull::Config>,
}

impl Permits {
    /// Waits up to 5 s for up to `most` permits, and yields them as they arrive.
    pub async fn pull(
        &self,
        most: usize,
    ) -> anyhow::Result<impl Stream<Item = anyhow::Result<Permit>> + use<>> {
        let messages = self
            .consumer
            .batch()
            .max_messages(most)
            .expires(PULL_EXPIRES)
            .messages()
            .await
            .context("pull permits")?;
        Ok(messages.map(|message| message.map(Permit).map_err(|error| anyhow::anyhow!("{error}"))))
    }
}

/// A permit to look for work. It is delivered again when it is neither acknowledged nor kept alive.
pub struct Permit(Message);

impl Permit {
    /// Acknowledges the permit. Returns whether the client accepted the acknowledgement. Otherwise the permit
    /// is delivered again, and its receiver finds no work.
    pub async fn done(self) -> bool {
        answered(self.0.ack()).await
    }

    /// Keeps the permit alive while work goes on.
    pub async fn working(&self) -> bool {
        answered(self.0.ack_with(AckKind::Progress)).await
    }
}

async fn answered<E: std::fmt::Display>(answer: impl Future<Output = Result<(), E>>) -> bool {
    match tokio::time::timeout(SEND_LIMIT, answer).await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            tracing::debug!(%error, "could not acknowledge a permit");
            false
        }
        Err(_) => false,
    }
}
