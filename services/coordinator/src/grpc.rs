//! The gRPC interface: decode, one call, encode.

use std::pin::Pin;

use anyhow::Context as _;
use boot::CancellationToken;
use futures::{Stream, StreamExt};
use proto::{
    self as p,
    jobs_server::{Jobs, JobsServer},
    workers_server::{Workers, WorkersServer},
};
use store::JobFilter;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{convert, desk::Desk, problem::Problem, watch};

/// Largest message that is taken.
const LARGEST: usize = 1 << 20;
/// After a connection could not be accepted.
const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

/// Serves until stop.
pub(crate) async fn serve(listener: tokio::net::TcpListener, desk: Desk, stop: CancellationToken) -> anyhow::Result<()> {
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_serving::<JobsServer<Desk>>().await;
    reporter.set_serving::<WorkersServer<Desk>>().await;
    let reflection = |builder: tonic_reflection::server::Builder<'static>| builder.register_encoded_file_descriptor_set(p::DESCRIPTORS);
    let v1 = reflection(tonic_reflection::server::Builder::configure()).build_v1().context("describe the interface")?;
    let v1alpha = reflection(tonic_reflection::server::Builder::configure()).build_v1alpha().context("describe the interface")?;
    let incoming = futures::stream::unfold(listener, |listener| async move {
        let next = listener.accept().await.map(|(stream, _)| {
            // Small answers at once; a connection on which it cannot be set is still good.
            let _ = stream.set_nodelay(true);
            stream
        });
        if next.is_err() {
            // Without file descriptors each further call fails at once, too: wait for some to be closed.
            tokio::time::sleep(ACCEPT_PAUSE).await;
        }
        Some((next, listener))
    });
    tonic::transport::Server::builder()
        .add_service(health)
        .add_service(v1)
        .add_service(v1alpha)
        .add_service(JobsServer::new(desk.clone()).max_decoding_message_size(LARGEST))
        .add_service(WorkersServer::new(desk).max_decoding_message_size(LARGEST))
        .serve_with_incoming_shutdown(incoming, stop.cancelled_owned())
        .await
        .context("serve gRPC")
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl Jobs for Desk {
    async fn submit(&self, request: Request<p::SubmitRequest>) -> Answer<p::SubmitResponse> {
        let traceparent = request.metadata().get("traceparent").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let body = convert::request(request.into_inner())?;
        let (job_id, created) = Desk::submit(self, body, traceparent).await?;
        Ok(Response::new(p::SubmitResponse { job_id: job_id.to_string(), created }))
    }

    async fn get(&self, request: Request<p::GetRequest>) -> Answer<p::GetResponse> {
        let shown = self.show(&request.into_inner().job_id).await?;
        Ok(Response::new(p::GetResponse { job: Some(convert::shown(shown)) }))
    }

    async fn list(&self, request: Request<p::ListRequest>) -> Answer<p::ListResponse> {
        let request = request.into_inner();
        let some = |text: String| Some(text).filter(|text| !text.is_empty());
        let states = request.states.into_iter().map(convert::state_back).collect::<Result<_, _>>()?;
        let filter = JobFilter { states, queue: some(request.queue), job_type: some(request.job_type), after: None };
        let (jobs, next) = Desk::list(self, filter, request.page_size, &request.page_token).await?;
        let jobs = jobs.into_iter().map(|(job, status)| convert::job(job, status)).collect();
        Ok(Response::new(p::ListResponse { jobs, next_page_token: next.unwrap_or_default() }))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<p::WatchResponse, Status>> + Send>>;

    async fn watch(&self, request: Request<p::WatchRequest>) -> Answer<Self::WatchStream> {
        let request = request.into_inner();
        let statuses = watch::watch(self.clone(), &request.job_id, request.after_version).await?;
        let told = |status: Result<_, Problem>| match status {
            Ok(status) => Ok(p::WatchResponse { status: Some(convert::status(status)) }),
            Err(problem) => Err(problem.into()),
        };
        Ok(Response::new(Box::pin(statuses.map(told))))
    }

    async fn cancel(&self, request: Request<p::CancelRequest>) -> Answer<p::CancelResponse> {
        let status = Desk::cancel(self, &request.into_inner().job_id).await?;
        Ok(Response::new(p::CancelResponse { status: Some(convert::status(status)) }))
    }

    async fn retry(&self, request: Request<p::RetryRequest>) -> Answer<p::RetryResponse> {
        let status = Desk::retry(self, &request.into_inner().job_id).await?;
        Ok(Response::new(p::RetryResponse { status: Some(convert::status(status)) }))
    }

    async fn list_queues(&self, _: Request<p::ListQueuesRequest>) -> Answer<p::ListQueuesResponse> {
        let queues = self.queues().await?.into_iter().map(convert::queue).collect();
        Ok(Response::new(p::ListQueuesResponse { queues }))
    }

    async fn pause_queue(&self, request: Request<p::PauseQueueRequest>) -> Answer<p::PauseQueueResponse> {
        self.pause(&request.into_inner().queue, true).await?;
        Ok(Response::new(p::PauseQueueResponse {}))
    }

    async fn resume_queue(&self, request: Request<p::ResumeQueueRequest>) -> Answer<p::ResumeQueueResponse> {
        self.pause(&request.into_inner().queue, false).await?;
        Ok(Response::new(p::ResumeQueueResponse {}))
    }

    async fn list_schedules(&self, _: Request<p::ListSchedulesRequest>) -> Answer<p::ListSchedulesResponse> {
        let schedules = self.schedules().await?.into_iter().map(convert::schedule).collect();
        Ok(Response::new(p::ListSchedulesResponse { schedules }))
    }

    async fn put_schedule(&self, request: Request<p::PutScheduleRequest>) -> Answer<p::PutScheduleResponse> {
        let schedule = request.into_inner().schedule.ok_or_else(|| Problem::field("schedule", "missing"))?;
        let job = convert::request(schedule.job.unwrap_or_default())?;
        let stored = Desk::put_schedule(self, schedule.name, schedule.cron, job, schedule.catch_up).await?;
        Ok(Response::new(p::PutScheduleResponse { schedule: Some(convert::schedule(stored)) }))
    }

    async fn delete_schedule(&self, request: Request<p::DeleteScheduleRequest>) -> Answer<p::DeleteScheduleResponse> {
        Desk::delete_schedule(self, &request.into_inner().name).await?;
        Ok(Response::new(p::DeleteScheduleResponse {}))
    }
}

#[tonic::async_trait]
impl Workers for Desk {
    async fn register(&self, request: Request<p::RegisterRequest>) -> Answer<p::RegisterResponse> {
        let worker = request.into_inner().worker.ok_or_else(|| Problem::field("worker", "missing"))?;
        let (spec, worker_id) = (convert::worker_spec(worker)?, Uuid::new_v4());
        let mut connection = self.store.connection().await.map_err(Problem::from)?;
        store::register_worker(&mut connection, worker_id, &spec).await.map_err(Problem::from)?;
        Ok(Response::new(p::RegisterResponse { worker_id: worker_id.to_string() }))
    }

    async fn list(&self, _: Request<p::ListWorkersRequest>) -> Answer<p::ListWorkersResponse> {
        let (workers, routes) = self.workers().await?;
        let job_routing = routes.into_iter().map(|(queue, workers)| (queue, p::WorkerNames { workers })).collect();
        Ok(Response::new(p::ListWorkersResponse { workers: workers.into_iter().map(convert::worker).collect(), job_routing }))
    }

    async fn remove(&self, request: Request<p::RemoveWorkerRequest>) -> Answer<p::RemoveWorkerResponse> {
        self.remove_worker(&request.into_inner().name).await?;
        Ok(Response::new(p::RemoveWorkerResponse {}))
    }

    async fn heartbeat(&self, request: Request<p::HeartbeatRequest>) -> Answer<p::HeartbeatResponse> {
        let request = request.into_inner();
        let worker_id = Uuid::try_parse(&request.worker_id).map_err(|_| Problem::field("worker_id", "expected a UUID"))?;
        let mut connection = self.store.connection().await.map_err(Problem::from)?;
        let running = request.running.min(1_000_000).cast_signed();
        match store::beat_worker(&mut connection, worker_id, running, false).await.map_err(Problem::from)? {
            true => Ok(Response::new(p::HeartbeatResponse {})),
            false => Err(Problem::NotFound(format!("there is no worker {worker_id}: register again")).into()),
        }
    }
}
