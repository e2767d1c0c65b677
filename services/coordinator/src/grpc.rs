//! The gRPC interface: decode, one call, encode.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use anyhow::Context as _;
use boot::Listener;
use futures::{Stream, StreamExt};
use proto::{
    self as p,
    jobs_server::{Jobs, JobsServer},
    workers_server::{Workers, WorkersServer},
};
use store::JobFilter;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpListener,
    time::Sleep,
};
use tonic::{Request, Response, Status, transport::server::Connected};
use uuid::Uuid;

use crate::{convert, desk::Desk, problem::Problem, watch};

/// Largest message that is taken.
const LARGEST: usize = 1 << 20;
/// How long a call may take, with the arrival of its message; a stream only has to begin by then.
const CALL_LIMIT: Duration = Duration::from_millis(9_500);
/// Bytes with which every HTTP/2 client begins: the preface, and the header of a frame of settings.
const BEGINNING: usize = 24 + 9;
/// A client that does not answer a ping is gone.
const KEEPALIVE: Duration = Duration::from_secs(10);
const KEEPALIVE_ANSWER: Duration = Duration::from_secs(5);
/// Most calls at a time on one connection.
const MOST_STREAMS: u32 = 1_024;
/// How long connections may stay open after the stop.
const GRACE: Duration = Duration::from_secs(5);

/// Serves until stop.
pub(crate) async fn serve(listener: TcpListener, desk: Desk) -> anyhow::Result<()> {
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_serving::<JobsServer<Desk>>().await;
    reporter.set_serving::<WorkersServer<Desk>>().await;
    let reflection = |builder: tonic_reflection::server::Builder<'static>| {
        builder.register_encoded_file_descriptor_set(p::DESCRIPTORS)
    };
    let v1 = reflection(tonic_reflection::server::Builder::configure())
        .build_v1()
        .context("describe the interface")?;
    let v1alpha = reflection(tonic_reflection::server::Builder::configure())
        .build_v1alpha()
        .context("describe the interface")?;
    let incoming = futures::stream::unfold(Listener::new(listener, "grpc"), |listener| async move {
        let connection = GrpcConnection::new(listener.accept().await, listener.crowd().patience());
        Some((Ok::<_, io::Error>(connection), listener))
    });
    let stop = desk.stop.clone();
    let served = tonic::transport::Server::builder()
        .timeout(CALL_LIMIT)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE_ANSWER))
        .max_concurrent_streams(MOST_STREAMS)
        .add_service(health)
        .add_service(v1)
        .add_service(v1alpha)
        .add_service(JobsServer::new(desk.clone()).max_decoding_message_size(LARGEST))
        .add_service(WorkersServer::new(desk).max_decoding_message_size(LARGEST))
        .serve_with_incoming_shutdown(incoming, stop.clone().cancelled_owned());
    let overdue = async {
        stop.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        served = served => served.context("serve gRPC"),
        // What is still open belongs to clients that do not answer.
        () = overdue => Ok(()),
    }
}

/// A connection that must soon begin as HTTP/2 does. From then on pings notice a client that is gone or
/// stuck.
struct GrpcConnection {
    connection: boot::Connection,
    /// Bytes of the beginning that are still missing, and until when.
    begins: Option<(usize, Pin<Box<Sleep>>)>,
}

impl GrpcConnection {
    fn new(connection: boot::Connection, patience: Duration) -> Self {
        Self { connection, begins: Some((BEGINNING, Box::pin(tokio::time::sleep(patience)))) }
    }
}

impl Connected for GrpcConnection {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for GrpcConnection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut this.connection).poll_read(cx, buffer);
        if let Some((missing, limit)) = &mut this.begins {
            *missing = missing.saturating_sub(buffer.filled().len() - before);
            if *missing == 0 {
                this.begins = None;
            } else if outcome.is_pending() && limit.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the client did not begin in time",
                )));
            }
        }
        outcome
    }
}

impl AsyncWrite for GrpcConnection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_shutdown(cx)
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl Jobs for Desk {
    async fn submit(&self, request: Request<p::SubmitRequest>) -> Answer<p::SubmitResponse> {
        let traceparent =
            request.metadata().get("traceparent").and_then(|value| value.to_str().ok()).map(str::to_owned);
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
        let filter =
            JobFilter { states, queue: some(request.queue), job_type: some(request.job_type), after: None };
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
        // A client that follows a job is asked to come back, here or elsewhere; a stream that just ended
        // would look like the job's end.
        let stopping = futures::stream::once(async {
            Err(Status::unavailable("the coordinator is stopping; go on with after_version"))
        });
        let stop = self.stop.clone();
        let stopping = stopping.filter(move |_| std::future::ready(stop.is_cancelled()));
        Ok(Response::new(Box::pin(
            statuses.map(told).take_until(self.stop.clone().cancelled_owned()).chain(stopping),
        )))
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

    async fn delete_schedule(
        &self,
        request: Request<p::DeleteScheduleRequest>,
    ) -> Answer<p::DeleteScheduleResponse> {
        Desk::delete_schedule(self, &request.into_inner().name).await?;
        Ok(Response::new(p::DeleteScheduleResponse {}))
    }
}

#[tonic::async_trait]
impl Workers for Desk {
    async fn register(&self, request: Request<p::RegisterRequest>) -> Answer<p::RegisterResponse> {
        let worker = request.into_inner().worker.ok_or_else(|| Problem::field("worker", "missing"))?;
        let (spec, worker_id) = (convert::worker_spec(worker)?, Uuid::new_v4());
        let mut connection = self.connection().await?;
        store::register_worker(&mut connection, worker_id, &spec).await.map_err(Problem::from)?;
        Ok(Response::new(p::RegisterResponse { worker_id: worker_id.to_string() }))
    }

    async fn list(&self, _: Request<p::ListWorkersRequest>) -> Answer<p::ListWorkersResponse> {
        let (workers, routes) = self.workers().await?;
        let job_routing =
            routes.into_iter().map(|(queue, workers)| (queue, p::WorkerNames { workers })).collect();
        Ok(Response::new(p::ListWorkersResponse {
            workers: workers.into_iter().map(convert::worker).collect(),
            job_routing,
        }))
    }

    async fn remove(&self, request: Request<p::RemoveWorkerRequest>) -> Answer<p::RemoveWorkerResponse> {
        self.remove_worker(&request.into_inner().name).await?;
        Ok(Response::new(p::RemoveWorkerResponse {}))
    }

    async fn heartbeat(&self, request: Request<p::HeartbeatRequest>) -> Answer<p::HeartbeatResponse> {
        let request = request.into_inner();
        let worker_id = Uuid::try_parse(&request.worker_id)
            .map_err(|_| Problem::field("worker_id", "expected a UUID"))?;
        let mut connection = self.connection().await?;
        let running = request.running.min(1_000_000).cast_signed();
        match store::beat_worker(&mut connection, worker_id, running, false).await.map_err(Problem::from)? {
            true => Ok(Response::new(p::HeartbeatResponse {})),
            false => Err(Problem::NotFound(format!("there is no worker {worker_id}: register again")).into()),
        }
    }
}
