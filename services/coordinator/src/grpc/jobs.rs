use std::pin::Pin;

use chrono::{DateTime, Utc};
use futures::{Stream, StreamExt};
use jobs::State;
use proto::{self as p, jobs_service_server::JobsService};
use store::jobs::JobFilter;
use tonic::{Request, Status};
use web::{Page, Problem};

use super::{
    Answer,
    access::{self, place, principal},
    request_json,
};
use crate::{
    problem::status,
    service::{self, Service},
    watch,
};

#[tonic::async_trait]
impl JobsService for Service {
    async fn submit_job(&self, request: Request<p::SubmitJobRequest>) -> Answer<p::SubmitJobResponse> {
        let traceparent =
            request.metadata().get("traceparent").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let principal = principal(&request)?;
        let body = request_json(request.into_inner()).map_err(status)?;
        let (job_id, created) = self.submit(body, traceparent, &principal).await.map_err(status)?;
        Ok(p::SubmitJobResponse { job_id: job_id.to_string(), created }.into())
    }

    async fn get_job(&self, request: Request<p::GetJobRequest>) -> Answer<p::GetJobResponse> {
        let job = self.job(&request.into_inner().job_id).await.map_err(status)?;
        Ok(p::GetJobResponse { job: Some(job.into()) }.into())
    }

    async fn list_jobs(&self, request: Request<p::ListJobsRequest>) -> Answer<p::ListJobsResponse> {
        let request = request.into_inner();
        let page = Page::new(request.page_size, &request.page_token).map_err(status)?;
        let list = self.jobs(filter(request).map_err(status)?, &page).await.map_err(status)?;
        let answer = p::ListJobsResponse {
            jobs: list.jobs.into_iter().map(Into::into).collect(),
            next_page_token: list.next_page_token.unwrap_or_default(),
        };
        Ok(answer.into())
    }

    type WatchJobStream = Pin<Box<dyn Stream<Item = Result<p::WatchJobResponse, Status>> + Send>>;

    async fn watch_job(&self, request: Request<p::WatchJobRequest>) -> Answer<Self::WatchJobStream> {
        let (place, request) = (place(&request), request.into_inner());
        let watched = watch::watch(self.clone(), &request.job_id, request.after_version).await;
        let answers = watched.map_err(status)?.map(|one| match one {
            Ok(one) => Ok(p::WatchJobResponse { status: Some(one.into()) }),
            Err(problem) => Err(status(problem)),
        });
        // A stream that just ended would look like the end of the job: the client is asked to reconnect.
        let stopping = futures::stream::once(async {
            Err(status(Problem::unavailable("the coordinator is stopping; go on with after_version")))
        });
        let stop = self.stop.clone();
        let stopping = stopping.filter(move |_| std::future::ready(stop.is_cancelled()));
        let stopped = self.stop.clone().cancelled_owned();
        let stream = answers.take_until(stopped).chain(stopping);
        Ok((Box::pin(access::limited(stream, place)) as Self::WatchJobStream).into())
    }

    async fn cancel_job(&self, request: Request<p::CancelJobRequest>) -> Answer<p::CancelJobResponse> {
        let job = self.cancel(&request.into_inner().job_id).await.map_err(status)?;
        Ok(p::CancelJobResponse { status: Some(job.into()) }.into())
    }

    async fn retry_job(&self, request: Request<p::RetryJobRequest>) -> Answer<p::RetryJobResponse> {
        let job = self.retry(&request.into_inner().job_id).await.map_err(status)?;
        Ok(p::RetryJobResponse { status: Some(job.into()) }.into())
    }

    async fn list_job_types(
        &self,
        request: Request<p::ListJobTypesRequest>,
    ) -> Answer<p::ListJobTypesResponse> {
        let request = request.into_inner();
        let page = Page::new(request.page_size, &request.page_token).map_err(status)?;
        let list = service::job_types(&page);
        let answer = p::ListJobTypesResponse {
            job_types: list.job_types.into_iter().map(Into::into).collect(),
            next_page_token: list.next_page_token.unwrap_or_default(),
        };
        Ok(answer.into())
    }

    async fn get_job_type(&self, request: Request<p::GetJobTypeRequest>) -> Answer<p::GetJobTypeResponse> {
        let one = service::job_type(&request.into_inner().job_type).map_err(status)?;
        Ok(p::GetJobTypeResponse { job_type: Some(one.into()) }.into())
    }
}

fn filter(request: p::ListJobsRequest) -> Result<JobFilter, Problem> {
    let some = |text: String| Some(text).filter(|text| !text.is_empty());
    Ok(JobFilter {
        states: request.states.into_iter().map(state).collect::<Result<_, _>>()?,
        queue: some(request.queue),
        job_type: some(request.job_type),
        schedule: some(request.schedule),
        unique_key: some(request.unique_key),
        from: time("from", request.from)?,
        to: time("to", request.to)?,
        after: None,
    })
}

fn state(number: i32) -> Result<State, Problem> {
    let state = p::JobState::try_from(number).map_err(|_| format!("{number} is not a state of a job"));
    state.and_then(State::try_from).map_err(|why| Problem::field("states", why))
}

fn time(field: &str, at: Option<p::Timestamp>) -> Result<Option<DateTime<Utc>>, Problem> {
    let read = |at| p::time(&at).filter(|&at| fields::is_time(at));
    at.map(|at| read(at).ok_or_else(|| Problem::field(field, "expected a year from 1 to 9999"))).transpose()
}
