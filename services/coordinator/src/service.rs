//! What clients ask of the coordinator, whether over REST or gRPC: jobs here, and schedules, queues and
//! workers in their own files.

use std::{ops::DerefMut, sync::Arc, time::Duration};

use access::Access;
use boot::CancellationToken;
use bus::Bus;
use chrono::{DateTime, Utc};
use fields::Name;
use jobs::{
    Request, Status,
    views::{JobDetail, JobList, JobTypeList, JobTypeSchema},
};
use serde_json::Value;
use store::{
    Store,
    jobs::{JobFilter, NewJob, Submitted},
};
use tokio::sync::Notify;
use uuid::Uuid;
use web::{Code, Page, Principal, Problem, token};

use crate::{
    permits::Permits,
    problem::{away, failed},
    routing,
    submissions::{Submissions, publish_status},
    views, watch,
};

/// How long a call waits for a connection to the database.
const DATABASE_LIMIT: Duration = Duration::from_secs(8);

/// The one place where calls meet the database. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    pub(crate) submissions: Submissions,
    pub(crate) permits: Permits,
    pub(crate) store: Store,
    pub(crate) bus: Bus,
    pub(crate) access: Access,
    /// Notified when a call changed a job, so that the mirror looks at once.
    pub(crate) changed: Arc<Notify>,
    /// Feeds the clients that follow jobs.
    pub(crate) feed: Arc<watch::Feed>,
    /// Cancelled when the coordinator is to stop.
    pub(crate) stop: CancellationToken,
}

impl Service {
    /// A connection to the database; a problem when none is free within 8 s.
    pub(crate) async fn connection(
        &self,
    ) -> Result<impl DerefMut<Target = store::Connection> + use<>, Problem> {
        match tokio::time::timeout(DATABASE_LIMIT, self.store.connection()).await {
            Ok(connection) => connection.map_err(failed),
            Err(_) => Err(away()),
        }
    }

    /// Accepts a job; its id, and whether it is new.
    pub(crate) async fn submit(
        &self,
        body: Value,
        traceparent: Option<String>,
        principal: &Principal,
    ) -> Result<(Uuid, bool), Problem> {
        let request = Request::read(body, boot::now()).map_err(Problem::invalid)?;
        let job_type = request.parameters.name().to_owned();
        let (job_id, created) = self.submit_request(request, None, traceparent).await?;
        if created {
            self.access.record(principal, "submit_job", job_id.to_string(), job_type).await;
        }
        Ok((job_id, created))
    }

    /// As [`Self::submit`], for a schedule.
    pub(crate) async fn submit_request(
        &self,
        request: Request,
        schedule: Option<String>,
        traceparent: Option<String>,
    ) -> Result<(Uuid, bool), Problem> {
        // Ordered by time, so that the newest jobs are neighbours in the indexes.
        let job_id = Uuid::now_v7();
        let traceparent =
            traceparent.filter(|text| text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_graphic()));
        let mut span = boot::span("submit", traceparent.as_deref());
        span.note("job_type", request.parameters.name());
        // Without a collector of our own, the caller's trace goes on.
        let traceparent = span.traceparent().or(traceparent);
        match self.submissions.submit(NewJob { job_id, request, schedule, traceparent }).await? {
            Submitted::Created => Ok((job_id, true)),
            Submitted::Existing(job_id) => Ok((job_id, false)),
            Submitted::OtherRequest(job_id) => {
                let detail = format!("idempotency_key was used by another request: job {job_id}");
                Err(Problem::new(Code::Conflict, detail))
            }
        }
    }

    pub(crate) async fn job(&self, job_id: &str) -> Result<JobDetail, Problem> {
        let id = read_id(job_id)?;
        let mut connection = self.connection().await?;
        let job = store::jobs::get(&mut connection, id).await.map_err(failed)?.ok_or_else(|| no_job(id))?;
        let status = job.status().map_err(failed)?;
        if status.state.is_final() {
            let job = views::job(job, status);
            return Ok(JobDetail { job, waits_for: None, qualified_workers: Vec::new() });
        }
        let workers = store::jobs::workers::list(&mut connection).await.map_err(failed)?;
        let queues = store::jobs::queues::list(&mut connection).await.map_err(failed)?;
        let queue = queues.iter().find(|queue| queue.name == job.queue);
        let qualified = routing::qualified(&job, &workers, queue);
        Ok(JobDetail {
            waits_for: routing::waits_for(&job, &status, &workers, queue, boot::now()),
            qualified_workers: qualified.into_iter().map(|worker| worker.spec.name.clone()).collect(),
            job: views::job(job, status),
        })
    }

    /// A page of jobs, newest first.
    pub(crate) async fn jobs(&self, mut filter: JobFilter, page: &Page) -> Result<JobList, Problem> {
        let names =
            [("queue", &filter.queue), ("job_type", &filter.job_type), ("schedule", &filter.schedule)];
        for (field, name) in names {
            if name.as_deref().is_some_and(|name| !Name::is_valid(name)) {
                return Err(not_a_name(field));
            }
        }
        filter.after = page.after().map(|key| read_key(key).ok_or_else(Page::wrong_token)).transpose()?;
        let size = page.page_size as usize;
        let mut connection = self.connection().await?;
        let limit = i64::from(page.page_size) + 1;
        let mut rows = store::jobs::list(&mut connection, &filter, limit).await.map_err(failed)?;
        let more = rows.len() > size;
        rows.truncate(size);
        let next_page_token = rows.last().filter(|_| more).map(key).map(|key| token(&key));
        let view = |job: store::jobs::Job| job.status().map(|status| views::job(job, status));
        let jobs = rows.into_iter().map(view).collect::<Result<_, _>>().map_err(failed)?;
        Ok(JobList { jobs, next_page_token })
    }

    pub(crate) async fn cancel(&self, job_id: &str) -> Result<Status, Problem> {
        let id = read_id(job_id)?;
        let mut connection = self.connection().await?;
        let done = store::jobs::cancel(&mut connection, id).await.map_err(failed)?;
        self.job_changed(id, done, "it has ended").await
    }

    /// Runs a failed or cancelled job again.
    pub(crate) async fn retry(&self, job_id: &str) -> Result<Status, Problem> {
        let id = read_id(job_id)?;
        let mut connection = self.connection().await?;
        let done = match store::jobs::retry(&mut connection, id).await {
            // The other job began to wait after this statement had looked for one.
            Err(failure) if failure.is_conflict() => {
                let detail = format!("job {id}: another job with its unique key waits or runs");
                return Err(Problem::new(Code::InvalidState, detail));
            }
            done => done.map_err(failed)?,
        };
        let why_not = "only a failed or cancelled job can be tried again, and not while another job with its \
            unique key waits or runs";
        let status = self.job_changed(id, done, why_not).await?;
        if let Some(job) = store::jobs::get(&mut connection, id).await.map_err(failed)? {
            self.permits.publish(&[(job.queue, id)]).await;
        }
        Ok(status)
    }

    async fn job_changed(
        &self,
        id: Uuid,
        done: Option<(bool, Status)>,
        why_not: &str,
    ) -> Result<Status, Problem> {
        let (done, status) = done.ok_or_else(|| no_job(id))?;
        if !done {
            let detail = format!("job {id} is {}: {why_not}", status.state);
            return Err(Problem::new(Code::InvalidState, detail));
        }
        self.changed.notify_one();
        publish_status(&self.bus, &status).await;
        Ok(status)
    }
}

/// A page of the types of jobs.
pub(crate) fn job_types(page: &Page) -> JobTypeList {
    let (job_types, next_page_token) = page.cut(jobs::job_types(), |one| one.job_type.clone());
    JobTypeList { job_types, next_page_token }
}

/// The type of job of this name.
pub(crate) fn job_type(name: &str) -> Result<JobTypeSchema, Problem> {
    if !Name::is_valid(name) {
        return Err(not_a_name("job_type"));
    }
    jobs::job_type(name).ok_or_else(|| Problem::not_found(format!("there is no job type {name}")))
}

pub(crate) fn read_id(text: &str) -> Result<Uuid, Problem> {
    Uuid::try_parse(text).map_err(|_| Problem::field("job_id", "expected a UUID"))
}

pub(crate) fn no_job(id: Uuid) -> Problem {
    Problem::not_found(format!("there is no job {id}"))
}

pub(crate) fn not_a_name(field: &str) -> Problem {
    Problem::field(field, Name::EXPECTED)
}

/// A job's place in the list.
fn key(job: &store::jobs::Job) -> String {
    format!("{}_{}", job.created_at.timestamp_micros(), job.job_id)
}

fn read_key(key: &str) -> Option<(DateTime<Utc>, Uuid)> {
    let (micros, id) = key.split_once('_')?;
    let at = DateTime::from_timestamp_micros(micros.parse().ok()?).filter(|&at| fields::is_time(at))?;
    Some((at, Uuid::try_parse(id).ok()?))
}
