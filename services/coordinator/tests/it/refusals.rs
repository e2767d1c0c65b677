//! Requests that are refused, and how.

use std::thread;

use serde_json::{Value, json};

use crate::{http::http, hub::Hub};

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_can_never_work_are_refused_for_good() {
    let hub = Hub::start().await;
    for (body, field) in [
        (json!({"job_type": "report", "not_before": "0000-01-01T00:00:00Z"}), "not_before"),
        (json!({"job_type": "report", "deadline": "9999-12-31T23:59:59-23:59"}), "deadline"),
        (json!({"job_type": "report", "not_before": "-0001-01-01T00:00:00Z"}), "not_before"),
    ] {
        let answer = http(&hub.rest, "POST", "/api/v1/jobs", &[], Some(&body.to_string()));
        assert_eq!((answer.status, answer.fields()), (422, vec![field]), "{body}");
    }
    for path in ["/api/v1/schedules/a%00b", "/api/v1/schedules/%F0%9F%90%9D"] {
        assert_eq!(http(&hub.rest, "DELETE", path, &[], None).status, 422, "{path}");
    }
    // A cursor that names a job of the year 10000.
    let far = "WyIrMTAwMDAtMDEtMDFUMDA6MDA6MDBaIiwiMDAwMDAwMDAtMDAwMC0wMDAwLTAwMDAtMDAwMDAwMDAwMDAwIl0";
    for token in [far, "1790000000000000_00000000-0000-0000-0000-000000000000"] {
        let answer = http(&hub.rest, "GET", &format!("/api/v1/jobs?page_token={token}"), &[], None);
        assert_eq!((answer.status, answer.fields()), (422, vec!["page_token"]), "{token}");
    }

    // An idempotency key is used or refused, never dropped.
    let with = |key: &str, body: Value| {
        http(&hub.rest, "POST", "/api/v1/jobs", &[("Idempotency-Key", key)], Some(&body.to_string()))
    };
    let plain = json!({"job_type": "diagnostic", "queue": "nobody"});
    let null = json!({"job_type": "diagnostic", "queue": "nobody", "idempotency_key": null});
    for (key, body) in [("schlüssel", &plain), ("null", &null)] {
        let (first, second) = (with(key, body.clone()), with(key, body.clone()));
        assert_eq!((first.status, second.status), (201, 200), "{key}");
        assert_eq!(first.body["job_id"], second.body["job_id"]);
    }
    let other = json!({"job_type": "diagnostic", "queue": "nobody", "idempotency_key": "b"});
    for answer in [with("a", other), with("", plain.clone()), with(&"x".repeat(201), plain)] {
        assert_eq!(answer.status, 422, "{:?}", answer.body);
    }

    // Both jobs of one unique key are tried again at once: one of them is.
    for round in 0..20 {
        hub.psql(&format!(
            "insert into jobs (job_id, job_type, queue, parameters, priority, timeout_seconds, max_attempts, request_hash, unique_key, state, finished_at)
            select gen_random_uuid(), 'diagnostic', 'nobody', '{{}}', 5, 60, 1, '', 'u{round}', 'failed', now() from generate_series(1, 2)"
        ));
        let jobs = hub.psql(&format!("select job_id from jobs where unique_key = 'u{round}'"));
        let retry =
            |job: &str| http(&hub.rest, "POST", &format!("/api/v1/jobs/{job}/retry"), &[], None).status;
        let mut statuses: Vec<_> = thread::scope(|scope| {
            let calls: Vec<_> = jobs.split_whitespace().map(|job| scope.spawn(move || retry(job))).collect();
            calls.into_iter().map(|call| call.join().unwrap()).collect()
        });
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_refuses_unknown_parameters() {
    let hub = Hub::start().await;
    let id = "00000000-0000-0000-0000-000000000000";
    let document = http(&hub.rest, "GET", "/openapi.json", &[], None).body;
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let path = path
                .replace("{id}", id)
                .replace("{queue}", "reports")
                .replace("{name}", "none")
                .replace("{job_type}", "report");
            let path = format!("{path}?colour=red");
            let body = ["post", "put"].contains(&method.as_str()).then_some("{}");
            let answer = http(&hub.rest, &method.to_uppercase(), &path, &[], body);
            assert_eq!((answer.status, answer.fields()), (422, vec!["colour"]), "{method} {path}");
        }
    }
    let broken = http(&hub.rest, "POST", "/api/v1/jobs", &[("X-Request-Id", "mine")], Some("{"));
    assert_eq!((broken.status, &broken.body["code"]), (400, &json!("malformed")));
    assert_eq!(broken.body["request_id"], "mine");
    assert!(broken.head.contains("x-request-id: mine"), "{}", broken.head);
}
