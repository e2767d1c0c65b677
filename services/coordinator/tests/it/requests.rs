//! What was submitted stays as it was submitted, whatever becomes of the job.

use jobs::views::JobDetail;
use serde_json::{Value, json};
use servers::testing::eventually;
use store::jobs::Outcome;

use crate::hub::Hub;

fn error() -> (String, String) {
    ("Retry".to_owned(), "as it was asked to".to_owned())
}

/// The job over REST, which must be the same over gRPC.
async fn show(hub: &Hub, job: &str) -> Value {
    let request = proto::GetJobRequest { job_id: job.to_owned() };
    let answer = hub.jobs_service().await.get_job(request).await.unwrap().into_inner();
    let detail = JobDetail::try_from(answer.job.unwrap()).unwrap();
    let shown = hub.get(&format!("/api/v1/jobs/{job}"));
    assert_eq!(serde_json::to_value(detail).unwrap(), shown);
    shown
}

fn attempts(job: &Value) -> (&str, i64, i64, i64) {
    let status = &job["status"];
    let number = |name: &str| status[name].as_i64().unwrap();
    let state = status["state"].as_str().unwrap();
    (state, number("attempt"), number("uncounted_attempts"), number("attempts_left"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_submitted_is_never_rewritten() {
    let hub = Hub::start().await;
    let worker = hub.worker("q").await;
    let deadline = (boot::now() + chrono::Duration::hours(1)).format("%Y-%m-%dT%H:%M:%SZ").to_string();
    let request = json!({
        "job_type": "diagnostic", "queue": "q", "max_attempts": 2, "not_before": "2026-01-01T00:00:00Z",
        "deadline": deadline,
    });
    let job = hub.submit(&request);
    let look = async || {
        let shown = show(&hub, &job).await;
        for field in ["max_attempts", "not_before", "deadline"] {
            assert_eq!(shown[field], request[field], "{field}");
        }
        let waits = ["queued", "retrying"].contains(&shown["status"]["state"].as_str().unwrap());
        assert_eq!(shown["status"]["next_attempt_at"].is_string(), waits, "{shown}");
        shown
    };
    assert_eq!(attempts(&look().await), ("queued", 0, 0, 2));

    let claimed = worker.claim().await;
    assert_eq!(attempts(&look().await), ("in_progress", 1, 0, 1));
    worker.end(&claimed, Outcome::HandedBack).await;
    assert_eq!(attempts(&look().await), ("queued", 1, 1, 2));

    let claimed = worker.claim().await;
    worker.end(&claimed, Outcome::Retry { error: error(), after: 3_600.0 }).await;
    let retrying = look().await;
    assert_eq!(attempts(&retrying), ("retrying", 2, 1, 1));
    assert!(retrying["waits_for"].as_str().unwrap().starts_with("its time: "), "{retrying}");
    hub.psql("update jobs set next_attempt_at = now()");

    let claimed = worker.claim().await;
    worker.end(&claimed, Outcome::Crashed { error: error(), after: None }).await;
    assert_eq!(attempts(&look().await), ("failed", 3, 1, 0));

    // A retry adds an attempt; the error of the last one stays in the history.
    let answer = hub.call("POST", &format!("/api/v1/jobs/{job}/retry"), None);
    assert_eq!((answer.status, &answer.body["error"]), (200, &Value::Null));
    assert_eq!(attempts(&look().await), ("queued", 3, 1, 1));
    let errors = "select count(*) from job_events where status #>> '{error,type}' = 'Retry'";
    assert_eq!(hub.psql(errors).trim(), "2");
    let claimed = worker.claim().await;
    assert_eq!((claimed.max_attempts, claimed.counted_attempt()), (3, 3));

    // The worker is lost: the coordinator takes the job, and the attempt does not count.
    hub.psql("update jobs set lease_until = now() - interval '1 second'");
    eventually("the job is taken", || hub.psql("select state from jobs").trim() == "retrying");
    assert_eq!(attempts(&look().await), ("retrying", 4, 2, 1));
    let claimed = worker.claim().await;
    worker.end(&claimed, Outcome::Completed(json!({}))).await;
    assert_eq!(attempts(&look().await), ("completed", 5, 2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_missed_its_deadline_can_be_retried() {
    let hub = Hub::start().await;
    let deadline = (boot::now() + chrono::Duration::seconds(2)).to_rfc3339();
    let job = hub.submit(&json!({"job_type": "diagnostic", "queue": "q", "deadline": deadline}));
    let before = show(&hub, &job).await;
    eventually("it has missed its deadline", || hub.psql("select state from jobs").trim() == "failed");
    assert_eq!(hub.call("POST", &format!("/api/v1/jobs/{job}/retry"), None).status, 200);
    // A sweep after the retry fails another job, and not this one.
    hub.psql(
        "insert into jobs (job_id, job_type, queue, parameters, priority, timeout_seconds, max_attempts, request_hash, deadline)
        values (gen_random_uuid(), 'diagnostic', 'other', '{}', 5, 60, 3, '', now() - interval '1 second')",
    );
    let other = "select state from jobs where queue = 'other'";
    eventually("the coordinator sweeps", || hub.psql(other).trim() == "failed");
    let claimed = hub.worker("q").await.claim().await;
    assert_eq!(claimed.job_id.to_string(), job);
    let after = show(&hub, &job).await;
    assert_eq!((&after["deadline"], &after["not_before"]), (&before["deadline"], &Value::Null));
}
