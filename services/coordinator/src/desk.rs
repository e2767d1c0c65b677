//! What may be asked of the coordinator, by whichever interface.

use std::{ops::DerefMut, sync::Arc, time::Duration};

use boot::CancellationToken;
use bus::Bus;
use chrono::{DateTime, Utc};
use fields::{Cursor, Name, PageSize};
use jobs::{Request, Status};
use serde_json::Value;
use store::{Job, JobFilter, NewJob, Queue, Removed, Store, Submitted, Worker};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::{
    problem::Problem,
    routing,
    submissions::{Submissions, tell},
};

/// How long a call waits for a connection to the database.
const DATABASE_LIMIT: Duration = Duration::from_secs(8);

/// The one place where calls meet the database. Cheap to clone.
#[derive(Clone)]
pub struct Desk {
    pub(crate) submissions: Submissions,
    pub(crate) store: Store,
    pub(crate) bus: Bus,
    /// Told when a job changed here.
    pub(crate) changed: Arc<Notify>,
    /// Cancelled when the coordinator is to stop.
    pub(crate) stop: CancellationToken,
}

/// A job with who could run it.
pub struct Shown {
    /// The job.
    pub job: Job,
    /// Its status.
    pub status: Status,
    /// Why it waits, in words.
    pub waits_for: Option<String>,
    /// Live workers that could run it, the preferred first.
    pub qualified: Vec<String>,
}

impl Desk {
    /// A connection to the database, or soon the answer that it is away.
    pub(crate) async fn connection(
        &self,
    ) -> Result<impl DerefMut<Target = store::Connection> + use<>, Problem> {
        match tokio::time::timeout(DATABASE_LIMIT, self.store.connection()).await {
            Ok(connection) => Ok(connection?),
            Err(_) => Err(Problem::Away("the database did not answer; try again".into())),
        }
    }

    /// Accepts a job; its id, and whether it is new.
    pub async fn submit(&self, body: Value, traceparent: Option<String>) -> Result<(Uuid, bool), Problem> {
        let request = Request::read(body, Utc::now()).map_err(Problem::Invalid)?;
        self.hand_in(request, None, traceparent).await
    }

    /// As [`Self::submit`], of a schedule.
    pub(crate) async fn hand_in(
        &self,
        request: Request,
        schedule: Option<String>,
        traceparent: Option<String>,
    ) -> Result<(Uuid, bool), Problem> {
        // In the order of time: the newest stand together in the indexes.
        let job_id = Uuid::now_v7();
        let traceparent =
            traceparent.filter(|text| text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_graphic()));
        let mut span = boot::span("submit", traceparent.as_deref());
        span.note("job_type", request.kind.name());
        // Without a collector of ours, that of the caller goes on.
        let traceparent = span.traceparent().or(traceparent);
        match self.submissions.submit(NewJob { job_id, request, schedule, traceparent }).await? {
            Submitted::Created => Ok((job_id, true)),
            Submitted::Existing(job_id) => Ok((job_id, false)),
            Submitted::OtherRequest(job_id) => {
                Err(Problem::Conflict(format!("idempotency_key was used by another request: job {job_id}")))
            }
        }
    }

    /// A job, with who could run it and why it waits.
    pub async fn show(&self, job_id: &str) -> Result<Shown, Problem> {
        let id = read_id(job_id)?;
        let mut connection = self.connection().await?;
        let job = store::job(&mut connection, id).await?.ok_or_else(|| no_job(id))?;
        let status = job.status()?;
        if status.state.is_final() {
            return Ok(Shown { job, status, waits_for: None, qualified: Vec::new() });
        }
        let (workers, queues) =
            (store::workers(&mut connection).await?, store::queues(&mut connection).await?);
        let queue = queues.iter().find(|queue| queue.name == job.queue);
        let qualified = routing::qualified(&job, &workers, queue);
        let waits_for = routing::waits_for(&job, &status, &workers, queue, Utc::now());
        Ok(Shown {
            job,
            status,
            waits_for,
            qualified: qualified.into_iter().map(|worker| worker.spec.name.clone()).collect(),
        })
    }

    /// A page of jobs, newest first, and where the next one begins.
    pub async fn list(
        &self,
        mut filter: JobFilter,
        size: u32,
        token: &str,
    ) -> Result<(Vec<(Job, Status)>, Option<String>), Problem> {
        let size = PageSize::read(size)?;
        for (field, name) in [("queue", &filter.queue), ("job_type", &filter.job_type)] {
            if name.as_deref().is_some_and(|name| !Name::is_valid(name)) {
                return Err(Problem::field(field, Name::EXPECTED));
            }
        }
        filter.after = read_token(token)?;
        let mut connection = self.connection().await?;
        let mut jobs = store::list_jobs(&mut connection, &filter, size.rows()).await?;
        let next = size.cut(&mut jobs, |job| (job.created_at, job.job_id)).map(String::from);
        let jobs =
            jobs.into_iter().map(|job| job.status().map(|status| (job, status))).collect::<Result<_, _>>()?;
        Ok((jobs, next))
    }

    /// Cancels a job.
    pub async fn cancel(&self, job_id: &str) -> Result<Status, Problem> {
        let id = read_id(job_id)?;
        let mut connection = self.connection().await?;
        self.changed(id, store::cancel_job(&mut connection, id).await?, "it has ended").await
    }

    /// Runs a failed or cancelled job again.
    pub async fn retry(&self, job_id: &str) -> Result<Status, Problem> {
        let id = read_id(job_id)?;
        let mut connection = self.connection().await?;
        let done = match store::retry_job(&mut connection, id).await {
            // The other job began to wait after this statement had looked for one.
            Err(failure) if failure.is_conflict() => {
                return Err(Problem::State(format!(
                    "job {id}: another job with its unique key waits or runs"
                )));
            }
            done => done?,
        };
        let status = self.changed(id, done, "only a failed or cancelled job can be tried again, and none whose unique key another job has").await?;
        if let Some(job) = store::job(&mut connection, id).await? {
            self.bus.publish_permit(&job.queue, &id.to_string()).await.ok();
        }
        Ok(status)
    }

    async fn changed(
        &self,
        id: Uuid,
        done: Option<(bool, Status)>,
        why_not: &str,
    ) -> Result<Status, Problem> {
        let (done, status) = done.ok_or_else(|| no_job(id))?;
        if !done {
            return Err(Problem::State(format!("job {id} is {}: {why_not}", status.state)));
        }
        self.changed.notify_one();
        tell(&self.bus, &status).await;
        Ok(status)
    }

    /// Every queue.
    pub async fn queues(&self) -> Result<Vec<Queue>, Problem> {
        let mut connection = self.connection().await?;
        Ok(store::queues(&mut connection).await?)
    }

    /// Starts no more jobs of a queue, or starts them again.
    pub async fn pause(&self, queue: &str, paused: bool) -> Result<(), Problem> {
        if !Name::is_valid(queue) {
            return Err(Problem::field("queue", Name::EXPECTED));
        }
        let mut connection = self.connection().await?;
        Ok(store::pause_queue(&mut connection, queue, paused).await?)
    }

    /// Every worker, and the names of those that take the jobs of each queue, the preferred first.
    pub async fn workers(&self) -> Result<(Vec<Worker>, routing::Routes), Problem> {
        let mut connection = self.connection().await?;
        let (workers, queues) =
            (store::workers(&mut connection).await?, store::queues(&mut connection).await?);
        let routes = routing::routes(&workers, &queues);
        Ok((workers, routes))
    }

    /// Removes a dead worker, with what makes queues exclusive to it.
    pub async fn remove_worker(&self, name: &str) -> Result<(), Problem> {
        if !Name::is_valid(name) {
            return Err(Problem::field("name", Name::EXPECTED));
        }
        let mut connection = self.store.connection().await?;
        match store::remove_worker(&mut connection, name).await? {
            Removed::Done => Ok(()),
            Removed::Alive => Err(Problem::State(format!(
                "worker {name} is alive: stop it first; it is removed 15 s after its last heartbeat at the earliest"
            ))),
            Removed::Unknown => Err(Problem::NotFound(format!("there is no worker {name}"))),
        }
    }
}

pub(crate) fn read_id(text: &str) -> Result<Uuid, Problem> {
    Uuid::try_parse(text).map_err(|_| Problem::field("job_id", "expected a UUID"))
}

pub(crate) fn no_job(id: Uuid) -> Problem {
    Problem::NotFound(format!("there is no job {id}"))
}

/// After which job a page begins.
fn read_token(token: &str) -> Result<Option<(DateTime<Utc>, Uuid)>, Problem> {
    match Cursor::read::<(DateTime<Utc>, Uuid)>(token)? {
        Some((at, _)) if !fields::is_time(at) => Err(Cursor::wrong().into()),
        place => Ok(place),
    }
}
