//! The gRPC interface: decode, one call, encode. One file per service.

mod access;
mod connection;
mod jobs;
mod queues;
mod refusals;
mod schedules;
mod workers;

use std::{io, sync::Arc, time::Duration};

use anyhow::Context as _;
use boot::Listener;
use proto::{
    DESCRIPTORS, jobs_service_server::JobsServiceServer, queues_service_server::QueuesServiceServer,
    schedules_service_server::SchedulesServiceServer, workers_service_server::WorkersServiceServer,
};
use tokio::net::TcpListener;
use tonic::{Response, Status, service::Routes};
use tower::util::MapResponseLayer;
use web::{Problem, Verify, axum::middleware::from_fn_with_state};

use self::connection::GrpcConnection;
use crate::{problem::status, rest, service::Service};

/// Largest message that a client may send.
const LARGEST: usize = 1 << 20;
/// How long a call may take, with the arrival of its message; a stream only has to begin by then.
const CALL_LIMIT: Duration = Duration::from_millis(9_500);
/// A client that does not answer a ping is gone.
const KEEPALIVE: Duration = Duration::from_secs(10);
const KEEPALIVE_ANSWER: Duration = Duration::from_secs(5);
/// Most calls at a time on one connection.
const MOST_STREAMS: u32 = 1_024;
/// How long connections may stay open after the stop.
const GRACE: Duration = Duration::from_secs(5);

type Answer<T> = Result<Response<T>, Status>;

/// Serves until stop.
pub(crate) async fn serve(
    listener: TcpListener,
    service: Service,
    verify: impl Verify,
) -> anyhow::Result<()> {
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_serving::<JobsServiceServer<Service>>().await;
    reporter.set_serving::<QueuesServiceServer<Service>>().await;
    reporter.set_serving::<SchedulesServiceServer<Service>>().await;
    reporter.set_serving::<WorkersServiceServer<Service>>().await;
    let reflection = |builder: tonic_reflection::server::Builder<'static>| {
        builder.register_encoded_file_descriptor_set(DESCRIPTORS)
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
    let (stop, operations) = (service.stop.clone(), Arc::new(rest::operations()));
    let routes = Routes::new(health)
        .add_service(v1)
        .add_service(v1alpha)
        .add_service(JobsServiceServer::new(service.clone()).max_decoding_message_size(LARGEST))
        .add_service(QueuesServiceServer::new(service.clone()).max_decoding_message_size(LARGEST))
        .add_service(SchedulesServiceServer::new(service.clone()).max_decoding_message_size(LARGEST))
        .add_service(WorkersServiceServer::new(service).max_decoding_message_size(LARGEST))
        .into_axum_router();
    let served = tonic::transport::Server::builder()
        .timeout(CALL_LIMIT)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE_ANSWER))
        .max_concurrent_streams(MOST_STREAMS)
        .layer(MapResponseLayer::new(refusals::with_code))
        .add_routes(Routes::from(
            routes.layer(from_fn_with_state((verify, operations), access::authenticate)),
        ))
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

fn missing(field: &str) -> Status {
    status(Problem::field(field, "missing"))
}

fn request_json(request: proto::SubmitJobRequest) -> Result<serde_json::Value, Problem> {
    proto::request_json(request)
        .map_err(|proto::TooDeep| Problem::field("parameters", "nested deeper than 32"))
}
