//! Publishes the status and the progress of jobs, after they were committed.

use bus::{Bus, News};
use jobs::Status;

use crate::messages::{self, ChildMessage};

/// Who gets the progress of an attempt.
#[derive(Clone)]
pub(crate) enum Audience {
    /// Every subscriber of the broker.
    Broker(Box<Bus>),
    /// The worker that started this process. It publishes.
    Worker,
}

impl Audience {
    pub async fn progress(&self, status: Status) {
        match self {
            Self::Broker(bus) => publish(bus, News::Progress, &status).await,
            Self::Worker => messages::send(&ChildMessage::Progress(status)),
        }
    }
}

/// Publishes the status of a job to every subscriber.
pub(crate) async fn publish(bus: &Bus, news: News, status: &Status) {
    let text = serde_json::to_string(status).unwrap_or_default();
    bus.tell_of_job(news, &status.job_id.to_string(), text).await;
}
