//! Publishes permits: a message on the queue of a job tells a worker to look for work.

use std::sync::Arc;

use boot::Duty;
use bus::{Bus, PublishError};
use uuid::Uuid;

/// Publishes permits, and warns once while that fails. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Permits {
    bus: Bus,
    duty: Arc<Duty>,
}

impl Permits {
    pub fn new(bus: Bus) -> Self {
        Self { bus, duty: Arc::new(Duty::new("publish permits")) }
    }

    /// Publishes the permits of new jobs, given as queue and id. Workers also look by themselves: a permit
    /// that is lost costs a second.
    pub async fn publish(&self, jobs: &[(String, Uuid)]) {
        self.duty.report(self.publish_all(jobs).await);
    }

    /// Publishes every permit; returns the first failure.
    async fn publish_all(&self, jobs: &[(String, Uuid)]) -> Result<(), PublishError> {
        let (mut acks, mut outcome) = (Vec::with_capacity(jobs.len()), Ok(()));
        for (queue, job_id) in jobs {
            match self.bus.publish_permit(queue, &job_id.to_string()).await {
                Ok(ack) => acks.push(ack),
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        for ack in acks {
            outcome = outcome.and(ack.await.map(drop));
        }
        outcome
    }
}
