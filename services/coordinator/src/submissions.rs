//! Submissions: those that come at the same time are committed together.

use std::sync::Arc;

use boot::Tasks;
use bus::{Bus, News};
use store::{Failure, NewJob, Store, Submitted};
use tokio::sync::{Notify, mpsc, oneshot};

use crate::problem::Problem;

/// Most submissions that wait; who comes then waits to be let in.
const WAITING: usize = 4_096;
/// Most in one transaction.
const TOGETHER: usize = 256;
/// Transactions at the same time.
const WRITERS: usize = 2;

type Asked = (NewJob, oneshot::Sender<Result<Submitted, Problem>>);

/// Where jobs are handed in.
#[derive(Clone)]
pub(crate) struct Submissions(mpsc::Sender<Asked>);

impl Submissions {
    /// Returns when it is committed, or that it is not.
    pub async fn submit(&self, job: NewJob) -> Result<Submitted, Problem> {
        let (tell, told) = oneshot::channel();
        let stopping = || Problem::Away("the coordinator is stopping".into());
        self.0.send((job, tell)).await.map_err(|_| stopping())?;
        told.await.map_err(|_| stopping())?
    }
}

/// Takes submissions until stop.
pub(crate) fn open(store: Store, bus: Bus, changed: Arc<Notify>, tasks: &Tasks) -> Submissions {
    let (send, receive) = mpsc::channel(WAITING);
    let receive = Arc::new(tokio::sync::Mutex::new(receive));
    for _ in 0..WRITERS {
        let (store, bus, changed, receive, stop) = (store.clone(), bus.clone(), changed.clone(), receive.clone(), tasks.stop());
        let permits = tasks.clone();
        tasks.spawn("submissions", async move {
            loop {
                let mut asked: Vec<Asked> = Vec::with_capacity(TOGETHER);
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    got = async { receive.lock().await.recv_many(&mut asked, TOGETHER).await } => if got == 0 { return Ok(()) },
                }
                let (jobs, tell): (Vec<NewJob>, Vec<_>) = asked.into_iter().unzip();
                let outcomes = commit(&store, &jobs).await;
                let created: Vec<_> = jobs
                    .iter()
                    .zip(&outcomes)
                    .filter(|(_, outcome)| matches!(outcome, Ok(Submitted::Created)))
                    .map(|(job, _)| (job.request.queue.clone(), job.job_id))
                    .collect();
                for (tell, outcome) in tell.into_iter().zip(outcomes) {
                    // Whoever asked may have gone; the job stays.
                    let _ = tell.send(outcome);
                }
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

/// All together; one by one when something among them was refused.
async fn commit(store: &Store, jobs: &[NewJob]) -> Vec<Result<Submitted, Problem>> {
    match together(store, jobs).await {
        Ok(outcomes) => outcomes.into_iter().map(Ok).collect(),
        Err(_) if jobs.len() > 1 => {
            let mut outcomes = Vec::new();
            for job in jobs {
                outcomes.push(together(store, std::slice::from_ref(job)).await.map_err(Problem::from).map(|mut one| one.remove(0)));
            }
            outcomes
        }
        Err(failure) => vec![Err(failure.into())],
    }
}

async fn together(store: &Store, jobs: &[NewJob]) -> Result<Vec<Submitted>, Failure> {
    let mut transaction = store.begin().await?;
    let outcomes = store::submit_jobs(&mut transaction, jobs).await?;
    transaction.commit().await.map_err(Failure::from)?;
    Ok(outcomes)
}

/// A permit that is lost costs a second: workers look by themselves.
async fn give_permits(bus: &Bus, jobs: Vec<(String, uuid::Uuid)>) {
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
    bus.tell_of_job(News::Status, &status.job_id.to_string(), serde_json::to_string(status).unwrap_or_default()).await;
}
