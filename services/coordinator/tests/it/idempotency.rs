//! An idempotency key names a request as it was read, not as it was spelt.

use serde_json::json;

use crate::{http::http, hub::Hub};

#[tokio::test(flavor = "multi_thread")]
async fn two_spellings_of_a_request_are_one_job() {
    let hub = Hub::start().await;
    let post = |body: &str| http(&hub.rest, "POST", "/api/v1/jobs", &[], Some(body));
    let first =
        hub.submit(&json!({"job_type": "diagnostic", "parameters": {"steps": 5}, "idempotency_key": "k"}));
    for same in [
        r#"{"job_type": "diagnostic", "parameters": {"steps": 5.0}, "idempotency_key": "k"}"#,
        r#"{"idempotency_key": "k", "parameters": {"step_seconds": 1, "steps": 5, "fail": "never"}, "job_type": "diagnostic",
            "priority": 5, "queue": "reports", "requirements": {"min_memory_gb": 0, "accelerator": []}, "deadline": null}"#,
    ] {
        let answer = post(same);
        assert_eq!((answer.status, answer.body["job_id"].as_str()), (200, Some(&*first)), "{same}");
    }
    // As the command line sends it.
    let request = proto::SubmitJobRequest {
        job_type: "diagnostic".into(),
        parameters: Some(proto::struct_of([("steps".to_owned(), json!(5))].into_iter().collect())),
        requirements: Some(proto::Requirements::default()),
        idempotency_key: "k".into(),
        ..Default::default()
    };
    let answer = hub.jobs_service().await.submit_job(request).await.unwrap().into_inner();
    assert_eq!((answer.job_id, answer.created), (first.clone(), false));

    let other = post(r#"{"job_type": "diagnostic", "parameters": {"steps": 6}, "idempotency_key": "k"}"#);
    assert_eq!((other.status, &other.body["code"]), (409, &json!("conflict")));

    // A job of an earlier version has no hash: type, parameters and queue are compared.
    hub.psql("update jobs set request_hash = ''");
    let same = r#"{"job_type": "diagnostic", "parameters": {"steps": 5}, "idempotency_key": "k"}"#;
    assert_eq!(post(same).body["job_id"].as_str(), Some(&*first));
    let other = r#"{"job_type": "diagnostic", "parameters": {"steps": 6}, "idempotency_key": "k"}"#;
    assert_eq!(post(other).status, 409);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_names_a_field_twice_is_refused() {
    let hub = Hub::start().await;
    let body = r#"{"job_type": "diagnostic", "parameters": {"steps": 1, "steps": 2}, "job_type": "report"}"#;
    let answer = http(&hub.rest, "POST", "/api/v1/jobs", &[], Some(body));
    assert_eq!((answer.status, answer.fields()), (422, vec!["parameters.steps", "job_type"]));
    let body = r#"{"cron": "0 6 * * 1", "job": {"job_type": "report"}, "cron": "0 7 * * 1"}"#;
    let answer = http(&hub.rest, "PUT", "/api/v1/schedules/s", &[], Some(body));
    assert_eq!((answer.status, answer.fields()), (422, vec!["cron"]));
    assert_eq!(hub.psql("select (select count(*) from jobs) + (select count(*) from schedules)").trim(), "0");
}
