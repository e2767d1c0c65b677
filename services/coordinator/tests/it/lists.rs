//! The list of jobs: by schedule, unique key, time and states, in pages.

use serde_json::{Value, json};
use servers::testing::eventually;

use crate::hub::Hub;

fn ids(list: &Value) -> Vec<&str> {
    list["jobs"].as_array().unwrap().iter().map(|job| job["job_id"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_found_by_what_they_were_submitted_with() {
    let hub = Hub::start().await;
    let plain = json!({"job_type": "diagnostic", "queue": "nobody"});
    let mut keyed = plain.clone();
    keyed["unique_key"] = "u v".into();
    let (plain, keyed) = (hub.submit(&plain), hub.submit(&keyed));
    hub.psql(&format!("update jobs set created_at = now() - interval '1 day' where job_id = '{plain}'"));
    let list = |query: &str| hub.get(&format!("/api/v1/jobs?{query}"));

    assert_eq!(ids(&list("unique_key=u%20v")), [&keyed]);
    let middle = (boot::now() - chrono::Duration::hours(12)).format("%Y-%m-%dT%H:%M:%SZ").to_string();
    assert_eq!(ids(&list(&format!("to={middle}"))), [&plain]);
    assert_eq!(ids(&list(&format!("from={middle}"))), [&keyed]);
    let request = proto::ListJobsRequest {
        from: Some(proto::timestamp(middle.parse().unwrap())),
        unique_key: "u v".into(),
        ..Default::default()
    };
    let answer = hub.jobs_service().await.list_jobs(request).await.unwrap().into_inner();
    assert_eq!(answer.jobs.iter().map(|job| &job.job_id).collect::<Vec<_>>(), [&keyed]);

    assert_eq!(hub.call("POST", &format!("/api/v1/jobs/{plain}/cancel"), None).status, 200);
    assert_eq!(ids(&list("state=queued&state=cancelled")), [&keyed, &plain]);
    assert_eq!(ids(&list("state=completed,cancelled")), [&plain]);

    let schedule = json!({"cron": "* * * * * *", "job": {"job_type": "diagnostic", "queue": "nobody"}});
    assert_eq!(hub.call("PUT", "/api/v1/schedules/often", Some(&schedule)).status, 200);
    eventually("it has fired twice", || ids(&list("schedule=often")).len() >= 2);
    assert!(ids(&list("schedule=other")).is_empty());
    for wrong in ["schedule=a.b", "from=yesterday", "to=0000-01-01T00:00:00Z", "state=gone"] {
        let answer = hub.call("GET", &format!("/api/v1/jobs?{wrong}"), None);
        assert_eq!((answer.status, answer.fields()), (422, vec![wrong.split('=').next().unwrap()]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_has_at_most_1000_jobs() {
    let hub = Hub::start().await;
    hub.psql(
        "insert into jobs (job_id, job_type, queue, parameters, priority, timeout_seconds, max_attempts, request_hash)
        select gen_random_uuid(), 'diagnostic', 'nobody', '{}', 5, 60, 3, '' from generate_series(1, 1001)",
    );
    let first = hub.get("/api/v1/jobs?page_size=5000");
    assert_eq!(ids(&first).len(), 1_000);
    let token = first["next_page_token"].as_str().unwrap();
    let second = hub.get(&format!("/api/v1/jobs?page_size=5000&page_token={token}"));
    assert_eq!((ids(&second).len(), &second["next_page_token"]), (1, &Value::Null));
    let request = proto::ListJobsRequest { page_size: 5_000, ..Default::default() };
    let answer = hub.jobs_service().await.list_jobs(request).await.unwrap().into_inner();
    assert_eq!((answer.jobs.len(), answer.next_page_token.is_empty()), (1_000, false));
}
