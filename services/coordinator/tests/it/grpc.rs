//! What gRPC says about requests that it refuses.

use proto::{
    GetQueueRequest, GetScheduleRequest, GetWorkerRequest, SubmitJobRequest,
    queues_service_client::QueuesServiceClient, schedules_service_client::SchedulesServiceClient,
    workers_service_client::WorkersServiceClient,
};
use serde_json::{Map, Value, json};
use tonic::Code;
use tonic_types::StatusExt;

use crate::hub::Hub;

fn diagnostic(parameters: Value) -> SubmitJobRequest {
    let Value::Object(parameters) = parameters else { return SubmitJobRequest::default() };
    SubmitJobRequest {
        job_type: "diagnostic".into(),
        parameters: Some(proto::struct_of(parameters)),
        ..Default::default()
    }
}

fn nested(depth: usize) -> Value {
    (0..depth).fold(json!(1), |inner, _| Value::Object(Map::from_iter([("a".to_owned(), inner)])))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_names_its_reason_and_every_wrong_field() {
    let hub = Hub::start().await;
    let mut jobs = hub.jobs_service().await;
    let wrong = jobs.submit_job(diagnostic(json!({"steps": "many", "colour": 1}))).await.unwrap_err();
    assert_eq!(wrong.code(), Code::InvalidArgument);
    let fields: Vec<_> =
        wrong.get_details_bad_request().unwrap().field_violations.into_iter().map(|one| one.field).collect();
    assert_eq!(fields, ["parameters.steps", "parameters.colour"]);
    let reason = |status: &tonic::Status| {
        let info = status.get_details_error_info().unwrap();
        (info.reason, info.domain)
    };
    assert_eq!(reason(&wrong), ("INVALID_FIELDS".to_owned(), "cowriestream".to_owned()));

    // Nested deeper than the reader allows, deeper than protobuf allows, and larger than a message may be.
    for (parameters, code) in [
        (nested(40), Code::InvalidArgument),
        (nested(200), Code::InvalidArgument),
        (json!({"sensor": "x".repeat(2_000_000)}), Code::ResourceExhausted),
        (json!({"sensor": "x".repeat(200_000)}), Code::InvalidArgument),
    ] {
        let refused = jobs.submit_job(diagnostic(parameters)).await.unwrap_err();
        assert_eq!(refused.code(), code, "{refused:?}");
    }

    let mut queues = QueuesServiceClient::new(hub.channel().await);
    let mut schedules = SchedulesServiceClient::new(hub.channel().await);
    let mut workers = WorkersServiceClient::new(hub.channel().await);
    let known = queues.get_queue(GetQueueRequest { queue: "reports".into() }).await.unwrap().into_inner();
    assert_eq!(known.queue.unwrap().name, "reports");
    let none = || "none".to_owned();
    for refused in [
        queues.get_queue(GetQueueRequest { queue: none() }).await.unwrap_err(),
        schedules.get_schedule(GetScheduleRequest { name: none() }).await.unwrap_err(),
        workers.get_worker(GetWorkerRequest { name: none() }).await.unwrap_err(),
    ] {
        assert_eq!((refused.code(), reason(&refused).0), (Code::NotFound, "NOT_FOUND".to_owned()));
    }
    let _worker = hub.worker("q").await;
    let worker = workers.get_worker(GetWorkerRequest { name: "w".into() }).await.unwrap().into_inner();
    assert_eq!(worker.worker.unwrap().status(), proto::WorkerStatus::Active);
}
