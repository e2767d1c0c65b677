//! Requests that a page of another site makes a browser send.

use crate::{http::http, hub::Hub};

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_web_pages_are_refused() {
    let hub = Hub::serving(&["hub.example", "other.example:81"]).await;
    let job = r#"{"job_type":"diagnostic","queue":"nobody"}"#;
    let post = |headers: &[(&str, &str)]| http(&hub.rest, "POST", "/api/v1/jobs", headers, Some(job));

    let evil = ("Origin", "https://evil.example");
    for (headers, status) in [
        (vec![("Content-Type", "text/plain"), evil, ("Host", "evil.example")], 403),
        (vec![evil], 403),
        (vec![("Origin", "null")], 403),
        (vec![("Host", "evil.example")], 403),
        (vec![("Sec-Fetch-Site", "cross-site")], 403),
        (vec![("Content-Type", "text/plain")], 415),
        (vec![("Content-Type", "application/x-www-form-urlencoded")], 415),
        (vec![("Content-Type", "text/plain"), ("Content-Type", "application/json")], 415),
    ] {
        let answer = post(&headers);
        assert_eq!(answer.status, status, "{headers:?}");
        assert!(
            answer.head.contains("content-type: application/problem+json")
                && answer.body["detail"].is_string(),
            "{}",
            answer.head
        );
    }
    for (method, path) in [
        ("POST", "/api/v1/queues/reports/pause"),
        ("POST", "/api/v1/jobs/00000000-0000-0000-0000-000000000000/cancel"),
        ("DELETE", "/api/v1/schedules/any"),
    ] {
        assert_eq!(http(&hub.rest, method, path, &[evil], None).status, 403, "{path}");
        assert_eq!(
            http(&hub.rest, method, path, &[("Content-Type", "text/plain")], Some("{}")).status,
            415,
            "{path}"
        );
    }
    // A page whose name now leads here reads nothing.
    assert_eq!(http(&hub.rest, "GET", "/api/v1/jobs", &[("Host", "evil.example")], None).status, 403);
    assert_eq!(hub.count("select (select count(*) from jobs) + (select count(*) from paused_queues)"), 0);
    for host in ["hub.example", "other.example:81", "localhost", "[::1]:8082"] {
        assert_eq!(post(&[("Host", host)]).status, 201, "{host}");
    }
    let own = format!("http://{}", hub.rest);
    assert_eq!(
        post(&[("Origin", own.as_str()), ("Content-Type", "application/json; charset=utf-8")]).status,
        201
    );
}
