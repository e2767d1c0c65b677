//! Submissions. Those that arrive at the same time are committed in one transaction.

use std::{sync::Arc, time::Duration};

use boot::Tasks;
use bus::{Bus, News};
use store::{
    Failure, Store,
    jobs::{NewJob, Submitted},
};
use tokio::sync::{Notify, mpsc, oneshot};
use uuid::Uuid;

use web::Problem;

use crate::{permits::Permits, problem::failed};

/// Most submissions that wait for a transaction; further callers wait until there is room.
const WAITING: usize = 4_096;
/// Most submissions of one transaction.
const LARGEST_BATCH: usize = 256;
/// Transactions at the same time.
const WRITERS: usize = 2;

/// Each caller is answered within this time.
const ANSWER_LIMIT: Duration = Duration::from_secs(8);

type Answer = Result<Submitted, Problem>;

/// The queue of submissions. A caller that gave up has dropped the receiver of its answer.
#[derive(Clone)]
pub(crate) struct Submissions(mpsc::Sender<(NewJob, oneshot::Sender<Answer>)>);

impl Submissions {
    /// Returns when the job is committed, or with the reason why it is not.
    pub async fn submit(&self, job: NewJob) -> Answer {
        let stopping = || Problem::unavailable("the coordinator is stopping");
        let (send, receive) = oneshot::channel();
        let answer = async {
            self.0.send((job, send)).await.map_err(|_| stopping())?;
            receive.await.map_err(|_| stopping())?
        };
        tokio::time::timeout(ANSWER_LIMIT, answer).await.unwrap_or_else(|_| Err(too_late()))
    }
}

fn too_late() -> Problem {
    Problem::unavailable(
        "the database did not answer in time: try again, with an idempotency key if the job must not be made twice",
    )
}

/// Commits submissions until stop.
pub(crate) fn open(store: Store, permits: Permits, changed: Arc<Notify>, tasks: &Tasks) -> Submissions {
    let (send, receive) = mpsc::channel(WAITING);
    let receive = Arc::new(tokio::sync::Mutex::new(receive));
    for _ in 0..WRITERS {
        let (store, permits, changed, receive, stop) =
            (store.clone(), permits.clone(), changed.clone(), receive.clone(), tasks.stop());
        let publishing = tasks.clone();
        tasks.spawn("submissions", async move {
            loop {
                let mut batch = Vec::with_capacity(LARGEST_BATCH);
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    got = async { receive.lock().await.recv_many(&mut batch, LARGEST_BATCH).await } => if got == 0 { return Ok(()) },
                }
                let (jobs, callers) = batch.into_iter().unzip();
                let created = Batch { jobs, callers }.commit(&store).await;
                changed.notify_one();
                if !created.is_empty() {
                    let permits = permits.clone();
                    publishing.start(async move { permits.publish(&created).await });
                }
            }
        });
    }
    Submissions(send)
}

/// Submissions of one transaction, and the caller that waits for each.
struct Batch {
    jobs: Vec<NewJob>,
    callers: Vec<oneshot::Sender<Answer>>,
}

impl Batch {
    /// Commits and answers; returns the queue and id of each new job. When the database refuses the batch,
    /// each job is committed alone.
    async fn commit(mut self, store: &Store) -> Vec<(String, Uuid)> {
        match self.insert(store).await {
            Ok(outcomes) => self.answer(outcomes),
            Err(failure) if failure.is_away() => {
                tracing::warn!(
                    error = %failure,
                    submissions = self.jobs.len(),
                    "could not commit submissions"
                );
                for caller in self.callers {
                    let _ = caller.send(Err(too_late()));
                }
                Vec::new()
            }
            Err(failure) if self.jobs.len() == 1 => {
                if let Some(caller) = self.callers.pop() {
                    let _ = caller.send(Err(failed(failure)));
                }
                Vec::new()
            }
            Err(_) => {
                let mut created = Vec::new();
                for (job, caller) in self.jobs.into_iter().zip(self.callers) {
                    let alone = Self { jobs: vec![job], callers: vec![caller] };
                    created.extend(Box::pin(alone.commit(store)).await);
                }
                created
            }
        }
    }

    async fn insert(&mut self, store: &Store) -> Result<Vec<Submitted>, Failure> {
        loop {
            let mut transaction = store.begin().await?;
            self.drop_abandoned();
            let outcomes = store::jobs::submit(&mut transaction, &self.jobs).await?;
            // A caller that gave up while the database was slow may try again without a key: its job must not
            // appear later.
            if self.callers.iter().any(oneshot::Sender::is_closed) {
                continue;
            }
            transaction.commit().await.map_err(Failure::from)?;
            return Ok(outcomes);
        }
    }

    fn drop_abandoned(&mut self) {
        let waits: Vec<_> = self.callers.iter().map(|caller| !caller.is_closed()).collect();
        for (n, _) in waits.iter().enumerate().rev().filter(|(_, waits)| !**waits) {
            self.jobs.remove(n);
            self.callers.remove(n);
        }
    }

    fn answer(self, outcomes: Vec<Submitted>) -> Vec<(String, Uuid)> {
        let mut created = Vec::new();
        for ((job, caller), outcome) in self.jobs.into_iter().zip(self.callers).zip(outcomes) {
            if outcome == Submitted::Created {
                created.push((job.request.queue, job.job_id));
            }
            // The job stays, also when its caller gave up during the commit.
            let _ = caller.send(Ok(outcome));
        }
        created
    }
}

/// Publishes the status of a job that changed.
pub(crate) async fn publish_status(bus: &Bus, status: &jobs::Status) {
    bus.tell_of_job(
        News::Status,
        &status.job_id.to_string(),
        serde_json::to_string(status).unwrap_or_default(),
    )
    .await;
}
