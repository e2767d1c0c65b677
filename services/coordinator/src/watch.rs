//! Following one job: the states it went through, then what happens as it happens.

use std::time::Duration;

use bus::Messages;
use futures::{Stream, StreamExt};
use jobs::Status;
use uuid::Uuid;

use crate::{
    desk::{Desk, no_job, read_id},
    problem::Problem,
};

/// How often Postgres is asked, in case a message was lost.
const LOOK: Duration = Duration::from_secs(1);

struct Watching {
    desk: Desk,
    job_id: Uuid,
    live: Messages,
    /// The newest that was told.
    version: i64,
    /// To be told, oldest first.
    waiting: std::collections::VecDeque<Status>,
    ended: bool,
}

/// The statuses of a job after a version; ends after the final one.
pub(crate) async fn watch(
    desk: Desk,
    job_id: &str,
    after: i64,
) -> Result<impl Stream<Item = Result<Status, Problem>> + Send + use<>, Problem> {
    let job_id = read_id(job_id)?;
    // Listening first, so that nothing happens unheard between the past and the present.
    let live = desk
        .bus
        .follow_jobs(Some(&job_id.to_string()))
        .await
        .map_err(|_| Problem::Away("the broker did not answer; try again".into()))?;
    let mut watching =
        Watching { desk, job_id, live, version: after, waiting: Default::default(), ended: false };
    watching.look().await?;
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
            match tokio::time::timeout(LOOK, self.live.next()).await {
                Ok(Some(message)) => match serde_json::from_slice::<Status>(&message) {
                    Ok(status) if status.version <= self.version + 1 => self.waiting.push_back(status),
                    // Something before it was not heard: it happened before the broker knew of us, or the
                    // broker was away.
                    Ok(_) => {
                        if let Err(problem) = self.look().await {
                            return self.give_up(problem);
                        }
                    }
                    Err(error) => tracing::debug!(%error, "told something that is no status"),
                },
                // Away for a moment, or nothing was heard: the database knows.
                Ok(None) | Err(_) => {
                    if let Err(problem) = self.look().await {
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

    async fn look(&mut self) -> Result<(), Problem> {
        let mut connection = self.desk.connection().await?;
        let job = store::job(&mut connection, self.job_id).await?.ok_or_else(|| no_job(self.job_id))?;
        self.waiting.extend(store::job_states(&mut connection, self.job_id, self.version).await?);
        self.waiting.push_back(job.status()?);
        // A job that had ended before the version that the caller knows is told once more.
        if self.waiting.iter().all(|status| status.version <= self.version) && job.status()?.state.is_final()
        {
            self.version = 0;
        }
        Ok(())
    }
}
