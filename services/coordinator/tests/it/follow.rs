//! Clients that follow a job.

use jobs::{State, Status};
use proto::WatchJobRequest;
use serde_json::json;
use store::jobs::Outcome;

use crate::hub::Hub;

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_was_retried_is_followed_to_its_last_end() {
    let hub = Hub::start().await;
    let job = hub.submit(&json!({"job_type": "diagnostic", "queue": "q"}));
    let worker = hub.worker("q").await;
    let error = ("Test".to_owned(), "it fails the first time".to_owned());
    worker.end(&worker.claim().await, Outcome::Failed { error }).await;
    assert_eq!(hub.call("POST", &format!("/api/v1/jobs/{job}/retry"), None).status, 200);

    let request = WatchJobRequest { job_id: job, after_version: 0 };
    let mut statuses = hub.jobs_service().await.watch_job(request).await.unwrap().into_inner();
    let mut states = Vec::new();
    while let Some(answer) = statuses.message().await.unwrap() {
        let status = Status::try_from(answer.status.unwrap()).unwrap();
        if status.state == Queued && states.contains(&Failed) {
            worker.end(&worker.claim().await, Outcome::Completed(json!({}))).await;
        }
        states.push(status.state);
    }
    use State::{Completed, Failed, InProgress, Queued};
    assert_eq!(states, [Queued, InProgress, Failed, Queued, InProgress, Completed]);
}
