//! Follows one job: the states that it went through, then each status as it changes.

mod feed;

use std::{collections::VecDeque, sync::Arc};

use futures::Stream;
use jobs::Status;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use uuid::Uuid;
use web::Problem;

pub(crate) use feed::{Feed, run};

use crate::{
    problem::failed,
    service::{Service, no_job, read_id},
};

struct Watching {
    service: Service,
    job_id: Uuid,
    changes: Receiver<feed::Change>,
    /// The version of the newest status that was sent.
    version: i64,
    /// Statuses to send, oldest first.
    waiting: VecDeque<Arc<Status>>,
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
    let changes = service.feed.subscribe(job_id);
    let mut watching =
        Watching { service, job_id, changes, version: after, waiting: VecDeque::new(), ended: false };
    let version = watching.read().await?;
    watching.service.feed.start(job_id, version);
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
                    // A failed or cancelled job may have been retried since.
                    let is_newest = self.waiting.iter().all(|later| later.version <= self.version);
                    self.ended = status.state.is_final() && is_newest;
                    return Some(Ok(Arc::unwrap_or_clone(status)));
                }
            }
            match self.changes.recv().await {
                Ok(Ok(status)) => self.waiting.push_back(status),
                Ok(Err(problem)) => return self.give_up(problem),
                // The client was slow: what it missed is in the database.
                Err(RecvError::Lagged(_)) => {
                    if let Err(problem) = self.read().await {
                        return self.give_up(problem);
                    }
                }
                Err(RecvError::Closed) => return None,
            }
        }
    }

    fn give_up(&mut self, problem: Problem) -> Option<Result<Status, Problem>> {
        self.ended = true;
        Some(Err(problem))
    }

    /// Reads the states that the client lacks, and the status now. Returns its version.
    async fn read(&mut self) -> Result<i64, Problem> {
        let mut connection = self.service.connection().await?;
        let job = store::jobs::get(&mut connection, self.job_id).await.map_err(failed)?;
        let status = job.ok_or_else(|| no_job(self.job_id))?.status().map_err(failed)?;
        let states = store::jobs::states(&mut connection, self.job_id, self.version).await.map_err(failed)?;
        let (version, ended) = (status.version, status.state.is_final());
        self.waiting.extend(states.into_iter().chain([status]).map(Arc::new));
        // The client already has the final status: send it again, so that the stream ends.
        if ended && self.waiting.iter().all(|status| status.version <= self.version) {
            self.version = 0;
        }
        // The client asked for what comes after a version that does not exist.
        self.version = self.version.min(version);
        Ok(version)
    }
}
