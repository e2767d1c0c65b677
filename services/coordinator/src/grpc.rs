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
use jobs::State;
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

use web::{Page, Problem};

use crate::{
    problem::{failed, status},
    service::Service,
    views::worker_spec,
    watch,
};

/// Largest message that a client may send.
const LARGEST: usize = 1 << 20;
/// How long a call may take, with the arrival of its message; a stream only has to begin by then.
const CALL_LIMIT: Duration = Duration::from_millis(9_500);
/// Every HTTP/2 client begins with this many bytes: the preface, and the header of a settings frame.
const BEGINNING: usize = 24 + 9;
/// A client that does not answer a ping is gone.
const KEEPALIVE: Duration = Duration::from_secs(10);
const KEEPALIVE_ANSWER: Duration = Duration::from_secs(5);
/// Most calls at a time on one connection.
const MOST_STREAMS: u32 = 1_024;
/// How long connections may stay open after the stop.
const GRACE: Duration = Duration::from_secs(5);

/// Serves until stop.
pub(crate) async fn serve(listener: TcpListener, service: Service) -> anyhow::Result<()> {
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_serving::<JobsServer<Service>>().await;
    reporter.set_serving::<WorkersServer<Service>>().await;
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
    let stop = service.stop.clone();
    let served = tonic::transport::Server::builder()
        .timeout(CALL_LIMIT)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE_ANSWER))
        .max_concurrent_streams(MOST_STREAMS)
        .add_service(health)
        .add_service(v1)
        .add_service(v1alpha)
        .add_service(JobsServer::new(service.clone()).max_decoding_message_size(LARGEST))
        .add_service(WorkersServer::new(service).max_decoding_message_size(LARGEST))
        .serve_with_incoming_shutdown(incoming, stop.clone().cancelled_owned());
    let overdue = async {
        stop.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        served = served => served.context("serve gRPC"),
        // Connections that are still open belong to clients that do not answer.
        () = overdue => Ok(()),
    }
}

/// A connection that must begin as HTTP/2 in limited time. From then on, pings notice a client that is gone.
struct GrpcConnection {
    connection: boot::Connection,
    /// Bytes of the beginning that are missing, and the time limit.
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
impl Jobs for Service {
    async fn submit(&self, request: Request<p::SubmitRequest>) -> Answer<p::SubmitResponse> {
        let traceparent =
            request.metadata().get("traceparent").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let body = request_json(request.into_inner()).map_err(status)?;
        let (job_id, created) = Service::submit(self, body, traceparent).await.map_err(status)?;
        Ok(Response::new(p::SubmitResponse { job_id: job_id.to_string(), created }))
    }

    async fn get(&self, request: Request<p::GetRequest>) -> Answer<p::GetResponse> {
        let job = self.job(&request.into_inner().job_id).await.map_err(status)?;
        Ok(Response::new(p::GetResponse { job: Some(job.into()) }))
    }

    async fn list(&self, request: Request<p::ListRequest>) -> Answer<p::ListResponse> {
        let request = request.into_inner();
        let some = |text: String| Some(text).filter(|text| !text.is_empty());
        let states = request.states.into_iter().map(state).collect::<Result<_, _>>().map_err(status)?;
        let filter =
            JobFilter { states, queue: some(request.queue), job_type: some(request.job_type), after: None };
        let page = Page::new(request.page_size, &request.page_token).map_err(status)?;
        let list = self.jobs(filter, &page).await.map_err(status)?;
        Ok(Response::new(p::ListResponse {
            jobs: list.jobs.into_iter().map(Into::into).collect(),
            next_page_token: list.next_page_token.unwrap_or_default(),
        }))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<p::WatchResponse, Status>> + Send>>;

    async fn watch(&self, request: Request<p::WatchRequest>) -> Answer<Self::WatchStream> {
        let request = request.into_inner();
        let watched = watch::watch(self.clone(), &request.job_id, request.after_version).await;
        let answers = watched.map_err(status)?.map(|one| match one {
            Ok(one) => Ok(p::WatchResponse { status: Some(one.into()) }),
            Err(problem) => Err(status(problem)),
        });
        // A stream that just ended would look like the end of the job: the client is asked to reconnect.
        let stopping = futures::stream::once(async {
            Err(Status::unavailable("the coordinator is stopping; go on with after_version"))
        });
        let stop = self.stop.clone();
        let stopping = stopping.filter(move |_| std::future::ready(stop.is_cancelled()));
        let stopped = self.stop.clone().cancelled_owned();
        Ok(Response::new(Box::pin(answers.take_until(stopped).chain(stopping))))
    }

    async fn cancel(&self, request: Request<p::CancelRequest>) -> Answer<p::CancelResponse> {
        let job = Service::cancel(self, &request.into_inner().job_id).await.map_err(status)?;
        Ok(Response::new(p::CancelResponse { status: Some(job.into()) }))
    }

    async fn retry(&self, request: Request<p::RetryRequest>) -> Answer<p::RetryResponse> {
        let job = Service::retry(self, &request.into_inner().job_id).await.map_err(status)?;
        Ok(Response::new(p::RetryResponse { status: Some(job.into()) }))
    }

    async fn list_queues(&self, request: Request<p::ListQueuesRequest>) -> Answer<p::ListQueuesResponse> {
        let request = request.into_inner();
        let page = Page::new(request.page_size, &request.page_token).map_err(status)?;
        let list = self.queues(&page).await.map_err(status)?;
        Ok(Response::new(p::ListQueuesResponse {
            queues: list.queues.into_iter().map(Into::into).collect(),
            next_page_token: list.next_page_token.unwrap_or_default(),
        }))
    }

    async fn pause_queue(&self, request: Request<p::PauseQueueRequest>) -> Answer<p::PauseQueueResponse> {
        self.pause(&request.into_inner().queue, true).await.map_err(status)?;
        Ok(Response::new(p::PauseQueueResponse {}))
    }

    async fn resume_queue(&self, request: Request<p::ResumeQueueRequest>) -> Answer<p::ResumeQueueResponse> {
        self.pause(&request.into_inner().queue, false).await.map_err(status)?;
        Ok(Response::new(p::ResumeQueueResponse {}))
    }

    async fn list_schedules(
        &self,
        request: Request<p::ListSchedulesRequest>,
    ) -> Answer<p::ListSchedulesResponse> {
        let request = request.into_inner();
        let page = Page::new(request.page_size, &request.page_token).map_err(status)?;
        let list = self.schedules(&page).await.map_err(status)?;
        Ok(Response::new(p::ListSchedulesResponse {
            schedules: list.schedules.into_iter().map(Into::into).collect(),
            next_page_token: list.next_page_token.unwrap_or_default(),
        }))
    }

    async fn put_schedule(&self, request: Request<p::PutScheduleRequest>) -> Answer<p::PutScheduleResponse> {
        let p::Schedule { name, cron, job, catch_up, .. } =
            request.into_inner().schedule.ok_or_else(|| missing("schedule"))?;
        let job = request_json(job.unwrap_or_default()).map_err(status)?;
        let stored = Service::put_schedule(self, name, cron, job, catch_up).await.map_err(status)?;
        Ok(Response::new(p::PutScheduleResponse { schedule: Some(stored.into()) }))
    }

    async fn delete_schedule(
        &self,
        request: Request<p::DeleteScheduleRequest>,
    ) -> Answer<p::DeleteScheduleResponse> {
        Service::delete_schedule(self, &request.into_inner().name).await.map_err(status)?;
        Ok(Response::new(p::DeleteScheduleResponse {}))
    }
}

#[tonic::async_trait]
impl Workers for Service {
    async fn register(&self, request: Request<p::RegisterRequest>) -> Answer<p::RegisterResponse> {
        let worker = request.into_inner().worker.ok_or_else(|| missing("worker"))?;
        let (spec, worker_id) = (worker_spec(worker).map_err(status)?, Uuid::new_v4());
        let mut connection = self.connection().await.map_err(status)?;
        let registered = store::register_worker(&mut connection, worker_id, &spec).await;
        registered.map_err(failed).map_err(status)?;
        Ok(Response::new(p::RegisterResponse { worker_id: worker_id.to_string() }))
    }

    async fn list(&self, request: Request<p::ListWorkersRequest>) -> Answer<p::ListWorkersResponse> {
        let request = request.into_inner();
        let page = Page::new(request.page_size, &request.page_token).map_err(status)?;
        let list = self.workers(&page).await.map_err(status)?;
        let names = |(queue, workers)| (queue, p::WorkerNames { workers });
        Ok(Response::new(p::ListWorkersResponse {
            workers: list.workers.into_iter().map(Into::into).collect(),
            job_routing: list.job_routing.into_iter().map(names).collect(),
            next_page_token: list.next_page_token.unwrap_or_default(),
        }))
    }

    async fn remove(&self, request: Request<p::RemoveWorkerRequest>) -> Answer<p::RemoveWorkerResponse> {
        self.remove_worker(&request.into_inner().name).await.map_err(status)?;
        Ok(Response::new(p::RemoveWorkerResponse {}))
    }

    async fn heartbeat(&self, request: Request<p::HeartbeatRequest>) -> Answer<p::HeartbeatResponse> {
        let request = request.into_inner();
        let worker_id = Uuid::try_parse(&request.worker_id)
            .map_err(|_| status(Problem::field("worker_id", "expected a UUID")))?;
        let mut connection = self.connection().await.map_err(status)?;
        let running = request.running.min(1_000_000).cast_signed();
        let known = store::beat_worker(&mut connection, worker_id, running, false).await;
        match known.map_err(failed).map_err(status)? {
            true => Ok(Response::new(p::HeartbeatResponse {})),
            false => {
                Err(status(Problem::not_found(format!("there is no worker {worker_id}: register again"))))
            }
        }
    }
}

fn missing(field: &str) -> Status {
    status(Problem::field(field, "missing"))
}

fn request_json(request: p::SubmitRequest) -> Result<serde_json::Value, Problem> {
    p::request_json(request).map_err(|p::TooDeep| Problem::field("parameters", "nested deeper than 32"))
}

fn state(number: i32) -> Result<State, Problem> {
    let state = p::JobState::try_from(number).map_err(|_| format!("{number} is not a state of a job"));
    state.and_then(State::try_from).map_err(|why| Problem::field("states", why))
}
