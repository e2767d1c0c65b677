//! Follows one job: the states that it went through, then each status as it changes.

use std::time::Duration;

use bus::Messages;
use futures::{Stream, StreamExt};
use jobs::Status;
use uuid::Uuid;

use web::Problem;

use crate::{
    problem::failed,
    service::{Service, no_job, read_id},
};

/// How often Postgres is read, in case a message was lost.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

struct Watching {
    service: Service,
    job_id: Uuid,
    live: Messages,
    /// The version of the newest status that was sent.
    version: i64,
    /// Statuses to send, oldest first.
    waiting: std::collections::VecDeque<Status>,
    ended: bool,
}

/// The statuses of a job after a version; ends after the final one.
pub(crate) async fn watch(
    service: Service,
    job_id: &str,
    after: i64,
) -> Result<impl Stream<Item = Result<Status, Problem>> + Send + use<>, Problem> {
    let job_id = read_id(job_id)?;
    // Subscribe first: no change between the read and the subscription is missed.
    let live = service
        .bus
        .follow_jobs(Some(&job_id.to_string()))
        .await
        .map_err(|_| Problem::unavailable("the broker did not answer; try again"))?;
    let mut watching =
        Watching { service, job_id, live, version: after, waiting: Default::default(), ended: false };
    watching.read().await?;
    Ok(futures::stream::unfold(watching, |mut watching| async move {
        let next = watching.next().await?;
        Some((next, watching))
    }))
}

impl Watching {
    async fn next(&mut self) -> Option<Result<Status, Problem>> {
        loop {
            if self.ended {
                return None;
            }
            while let Some(status) = self.waiting.pop_front() {
                if status.version > self.version {
                    self.version = status.version;
                    self.ended = status.state.is_final();
                    return Some(Ok(status));
                }
            }
            match tokio::time::timeout(POLL_INTERVAL, self.live.next()).await {
                Ok(Some(message)) => match serde_json::from_slice::<Status>(&message) {
                    Ok(status) if status.version <= self.version + 1 => self.waiting.push_back(status),
                    // An earlier version was missed: it was published before the subscription, or the broker was
                    // away.
                    Ok(_) => {
                        if let Err(problem) = self.read().await {
                            return self.give_up(problem);
                        }
                    }
                    Err(error) => tracing::debug!(%error, "received a message that is not a status"),
                },
                // No message, or the broker is away: read the database.
                Ok(None) | Err(_) => {
                    if let Err(problem) = self.read().await {
                        return self.give_up(problem);
                    }
                }
            }
        }
    }

    fn give_up(&mut self, problem: Problem) -> Option<Result<Status, Problem>> {
        self.ended = true;
        Some(Err(problem))
    }

    async fn read(&mut self) -> Result<(), Problem> {
        let mut connection = self.service.connection().await?;
        let job = store::job(&mut connection, self.job_id).await.map_err(failed)?;
        let status = job.ok_or_else(|| no_job(self.job_id))?.status().map_err(failed)?;
        let states = store::job_states(&mut connection, self.job_id, self.version).await.map_err(failed)?;
        self.waiting.extend(states);
        let ended = status.state.is_final();
        self.waiting.push_back(status);
        // The client already has the final status: send it again, so that the stream ends.
        if ended && self.waiting.iter().all(|status| status.version <= self.version) {
            self.version = 0;
        }
        Ok(())
    }
}
