//! JOBS and STATUS: permits to look for work, and how jobs are doing.

use std::{pin::Pin, time::Duration};

use anyhow::Context as _;
use async_nats::jetstream::{
    AckKind, Message,
    consumer::{AckPolicy, Consumer, pull},
};
use bytes::Bytes;
use futures::{Stream, StreamExt};

use crate::{Ack, Bus, PublishError, Subject, topology::JOBS};

/// A permit is delivered again when its worker said nothing for so long.
const ACK_WAIT: Duration = Duration::from_secs(30);
/// How long one pull stands at the server.
const PULL_EXPIRES: Duration = Duration::from_secs(5);

/// How long a message that nobody must have may hold up its sender: the client's queue is full when the
/// broker is away or does not read.
const WORTH_WAITING: Duration = Duration::from_millis(200);

/// What is told of a job.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum News {
    /// It has another state.
    Status,
    /// It went on within its state.
    Progress,
}

/// Messages as they come.
pub type Messages = Pin<Box<dyn Stream<Item = Bytes> + Send>>;

impl Bus {
    /// Publishes a permit to look for work in a queue.
    pub async fn publish_permit(&self, queue: &str, job_id: &str) -> Result<Ack, PublishError> {
        let subject = Subject::jobs(queue)
            .ok_or_else(|| PublishError::Failed(format!("{queue:?} cannot be a subject")))?;
        self.publish(subject, async_nats::HeaderMap::new(), Bytes::copy_from_slice(job_id.as_bytes())).await
    }

    /// Tells of a job, to whom it may concern: not acknowledged. What must not be missed stands in Postgres.
    pub async fn tell_of_job(&self, news: News, job_id: &str, status: String) {
        let Some(subject) = Subject::of_job(news, job_id) else { return };
        if !self.connected() {
            return;
        }
        match tokio::time::timeout(WORTH_WAITING, self.client.publish(String::from(subject), status.into()))
            .await
        {
            Ok(Ok(())) => (),
            Ok(Err(error)) => tracing::debug!(%error, "could not publish the status of a job"),
            Err(_) => tracing::debug!("did not publish the status of a job: the broker does not read"),
        }
    }

    /// What is told of one job, or of all jobs, from now on.
    pub async fn follow_jobs(&self, job_id: Option<&str>) -> anyhow::Result<Messages> {
        let mut all = Vec::new();
        for news in [News::Status, News::Progress] {
            let subject =
                Subject::of_job(news, job_id.unwrap_or("*")).context("a job id that cannot be a subject")?;
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

    /// The permits of a queue.
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

/// A durable consumer of one queue.
pub struct Permits {
    consumer: Consumer<pull::Config>,
}

impl Permits {
    /// Waits up to 5 s for up to `most` permits; they come as they arrive.
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

/// A permit to look for work; comes back when it is neither answered nor kept alive.
pub struct Permit(Message);

impl Permit {
    /// It is used up. Whether the client took the acknowledgement; the permit comes back otherwise, and finds
    /// nothing.
    pub async fn done(self) -> bool {
        answered(self.0.ack()).await
    }

    /// Work goes on.
    pub async fn working(&self) -> bool {
        answered(self.0.ack_with(AckKind::Progress)).await
    }
}

async fn answered<E: std::fmt::Display>(answer: impl Future<Output = Result<(), E>>) -> bool {
    match tokio::time::timeout(WORTH_WAITING, answer).await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            tracing::debug!(%error, "a permit was not answered");
            false
        }
        Err(_) => false,
    }
}
