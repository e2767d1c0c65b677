//! Submissions: those that come at the same time are committed together.

use std::{sync::Arc, time::Duration};

use boot::Tasks;
use bus::{Bus, News};
use store::{Failure, NewJob, Store, Submitted};
use tokio::sync::{Notify, mpsc, oneshot};
use uuid::Uuid;

use crate::problem::Problem;

/// Most submissions that wait; who comes then waits to be let in.
const WAITING: usize = 4_096;
/// Most in one transaction.
const TOGETHER: usize = 256;
/// Transactions at the same time.
const WRITERS: usize = 2;

/// How long a submission waits for the database. A caller is answered by then, whatever happens.
const PATIENCE: Duration = Duration::from_secs(8);

type Answer = Result<Submitted, Problem>;

/// Where jobs are handed in. A caller that gave up has dropped the other end of its sender.
#[derive(Clone)]
pub(crate) struct Submissions(mpsc::Sender<(NewJob, oneshot::Sender<Answer>)>);

impl Submissions {
    /// Returns when it is committed, or that it is not.
    pub async fn submit(&self, job: NewJob) -> Answer {
        let stopping = || Problem::Away("the coordinator is stopping".into());
        let (tell, told) = oneshot::channel();
        let answer = async {
            self.0.send((job, tell)).await.map_err(|_| stopping())?;
            told.await.map_err(|_| stopping())?
        };
        tokio::time::timeout(PATIENCE, answer).await.unwrap_or_else(|_| Err(away()))
    }
}

fn away() -> Problem {
    Problem::Away("the database did not answer in time: try again, with an idempotency key if the job must not be made twice".into())
}

/// Takes submissions until stop.
pub(crate) fn open(store: Store, bus: Bus, changed: Arc<Notify>, tasks: &Tasks) -> Submissions {
    let (send, receive) = mpsc::channel(WAITING);
    let receive = Arc::new(tokio::sync::Mutex::new(receive));
    for _ in 0..WRITERS {
        let (store, bus, changed, receive, stop) =
            (store.clone(), bus.clone(), changed.clone(), receive.clone(), tasks.stop());
        let permits = tasks.clone();
        tasks.spawn("submissions", async move {
            loop {
                let mut asked = Vec::with_capacity(TOGETHER);
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    got = async { receive.lock().await.recv_many(&mut asked, TOGETHER).await } => if got == 0 { return Ok(()) },
                }
                let (jobs, tell) = asked.into_iter().unzip();
                let created = Batch { jobs, tell }.commit(&store).await;
                changed.notify_one();
                if !created.is_empty() {
                    let bus = bus.clone();
                    permits.start(async move { give_permits(&bus, created).await });
                }
            }
        });
    }
    Submissions(send)
}

/// Submissions that are committed together, and who waits for each.
struct Batch {
    jobs: Vec<NewJob>,
    tell: Vec<oneshot::Sender<Answer>>,
}

impl Batch {
    /// Commits and answers; the queue and id of each new job. All together; one by one when one among them
    /// was refused.
    async fn commit(mut self, store: &Store) -> Vec<(String, Uuid)> {
        match self.together(store).await {
            Ok(outcomes) => self.answer(outcomes),
            Err(failure) if failure.is_away() => {
                tracing::warn!(
                    error = format!("{:#}", anyhow::Error::from(failure)),
                    submissions = self.jobs.len(),
                    "could not commit submissions"
                );
                for tell in self.tell {
                    let _ = tell.send(Err(away()));
                }
                Vec::new()
            }
            Err(failure) if self.jobs.len() == 1 => {
                if let Some(tell) = self.tell.pop() {
                    let _ = tell.send(Err(failure.into()));
                }
                Vec::new()
            }
            Err(_) => {
                let mut created = Vec::new();
                for (job, tell) in self.jobs.into_iter().zip(self.tell) {
                    created.extend(Box::pin(Self { jobs: vec![job], tell: vec![tell] }.commit(store)).await);
                }
                created
            }
        }
    }

    async fn together(&mut self, store: &Store) -> Result<Vec<Submitted>, Failure> {
        loop {
            let mut transaction = store.begin().await?;
            self.forget_who_left();
            let outcomes = store::submit_jobs(&mut transaction, &self.jobs).await?;
            // While the database was slow a caller gave up, and may try again without a key: its job must not
            // appear later.
            if self.tell.iter().any(oneshot::Sender::is_closed) {
                continue;
            }
            transaction.commit().await.map_err(Failure::from)?;
            return Ok(outcomes);
        }
    }

    fn forget_who_left(&mut self) {
        let waits: Vec<_> = self.tell.iter().map(|tell| !tell.is_closed()).collect();
        for (n, _) in waits.iter().enumerate().rev().filter(|(_, waits)| !**waits) {
            self.jobs.remove(n);
            self.tell.remove(n);
        }
    }

    fn answer(self, outcomes: Vec<Submitted>) -> Vec<(String, Uuid)> {
        let mut created = Vec::new();
        for ((job, tell), outcome) in self.jobs.into_iter().zip(self.tell).zip(outcomes) {
            if outcome == Submitted::Created {
                created.push((job.request.queue, job.job_id));
            }
            // A caller that left during the commit: the job stays.
            let _ = tell.send(Ok(outcome));
        }
        created
    }
}

/// A permit that is lost costs a second: workers look by themselves.
async fn give_permits(bus: &Bus, jobs: Vec<(String, Uuid)>) {
    let mut acks = Vec::with_capacity(jobs.len());
    for (queue, job_id) in jobs {
        match bus.publish_permit(&queue, &job_id.to_string()).await {
            Ok(ack) => acks.push(ack),
            Err(error) => tracing::debug!(%error, "a permit was not published"),
        }
    }
    for ack in acks {
        if let Err(error) = ack.await {
            tracing::debug!(%error, "a permit was not taken");
        }
    }
}

/// Tells that a job changed.
pub(crate) async fn tell(bus: &Bus, status: &jobs::Status) {
    bus.tell_of_job(
        News::Status,
        &status.job_id.to_string(),
        serde_json::to_string(status).unwrap_or_default(),
    )
    .await;
}
