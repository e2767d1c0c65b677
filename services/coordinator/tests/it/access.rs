//! A key is stolen: what it opens, and how fast it stops.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use proto::{
    ListJobsRequest, ListQueuesRequest, PauseQueueRequest, SubmitJobRequest, WatchJobRequest,
    jobs_service_client::JobsServiceClient, queues_service_client::QueuesServiceClient,
};
use serde_json::{Value, json};
use servers::testing::eventually;
use tonic::{Code, Request, transport::Channel};

use crate::{
    http::{Answer, http},
    hub::{Hub, KEY},
};

/// A request with a key; `""`: without one.
fn with(address: &str, key: &str, method: &str, path: &str, body: Option<&str>) -> Answer {
    http(address, method, path, &[("X-API-Key", key)], body)
}

/// Creates a key over REST.
fn create(hub: &Hub, body: &Value) -> (String, String) {
    let answer = hub.call("POST", "/api/v1/keys", Some(body));
    assert_eq!(answer.status, 201, "{}", answer.body);
    assert!(answer.head.contains("cache-control: no-store"), "{}", answer.head);
    let text = |name: &str| answer.body[name].as_str().unwrap().to_owned();
    (text("id"), text("key"))
}

fn scoped(hub: &Hub, scope: &str) -> String {
    create(hub, &json!({"name": "one", "scopes": [scope]})).1
}

fn keyed<T>(message: T, key: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
    request
}

async fn channel(grpc: &str) -> Channel {
    Channel::from_shared(grpc.to_owned()).unwrap().connect().await.unwrap()
}

fn diagnostic() -> SubmitJobRequest {
    SubmitJobRequest { job_type: "diagnostic".into(), queue: "nobody".into(), ..Default::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_needs_a_key_with_its_scope() {
    let hub = Hub::start().await;
    let scopes = ["stats:read", "secrets:read", "findings:write", "jobs:read", "jobs:submit", "admin"];
    let keys: Vec<_> = scopes.iter().map(|scope| (*scope, scoped(&hub, scope))).collect();
    let limited = create(&hub, &json!({"name": "s", "scopes": ["stats:read"], "sensors": ["fra-1"]})).1;
    let document = hub.get("/openapi.json");
    let mut operations = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let method = method.to_uppercase();
            let needed = operation["security"][0]["api_key"][0].as_str().unwrap();
            // So that nothing happens where the key suffices.
            let path = format!("{}?colour=red", path.replace(['{', '}'], ""));
            let body = ["POST", "PUT"].contains(&method.as_str()).then_some("{}");
            let nobody = with(&hub.rest, "", &method, &path, body);
            assert_eq!((nobody.status, &nobody.body["code"]), (401, &json!("unauthenticated")), "{path}");
            assert!(nobody.head.contains("www-authenticate: bearer"), "{}", nobody.head);
            assert_eq!(with(&hub.rest, &limited, &method, &path, body).status, 403, "{method} {path}");
            for (scope, key) in &keys {
                let expected = if [needed, "admin"].contains(scope) { 422 } else { 403 };
                let answer = with(&hub.rest, key, &method, &path, body);
                assert_eq!(answer.status, expected, "{scope}: {method} {path}: {}", answer.body);
            }
            operations += 1;
        }
    }
    assert_eq!(operations, 23);
    for path in ["/openapi.json", "/nothing", "/api/v1/keys/../jobs"] {
        assert_eq!(with(&hub.rest, "", "GET", path, None).status, 401, "{path}");
    }

    // The same over gRPC.
    let (mut jobs, mut queues) = (
        JobsServiceClient::new(hub.bare_channel().await),
        QueuesServiceClient::new(hub.bare_channel().await),
    );
    for (scope, key) in &keys {
        let allowed = |needed: &str| [needed, "admin"].contains(scope);
        let code = |allowed: bool| if allowed { Code::Ok } else { Code::PermissionDenied };
        let of = |answer: Result<(), tonic::Status>| answer.err().map_or(Code::Ok, |status| status.code());
        let listed = jobs.list_jobs(keyed(ListJobsRequest::default(), key)).await.map(drop);
        assert_eq!(of(listed), code(allowed("jobs:read")), "{scope}");
        let submitted = jobs.submit_job(keyed(diagnostic(), key)).await.map(drop);
        assert_eq!(of(submitted), code(allowed("jobs:submit")), "{scope}");
        let pause = PauseQueueRequest { queue: "reports".into() };
        let paused = queues.pause_queue(keyed(pause, key)).await.map(drop);
        assert_eq!(of(paused), code(allowed("admin")), "{scope}");
    }
    let listed = jobs.list_jobs(keyed(ListJobsRequest::default(), &limited)).await;
    assert_eq!(listed.unwrap_err().code(), Code::PermissionDenied);
    assert_eq!(jobs.list_jobs(ListJobsRequest::default()).await.unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(
        queues.list_queues(keyed(ListQueuesRequest::default(), "none")).await.unwrap_err().code(),
        Code::Unauthenticated
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_or_expired_key_stops_within_five_seconds_in_every_process() {
    let hub = Hub::start().await;
    let other = hub.another(&access::Args::default(), None).await;
    let job = hub.submit(&json!({"job_type": "diagnostic", "queue": "nobody"}));
    let (id, key) = create(&hub, &json!({"name": "thief", "scopes": ["jobs:read"]}));
    let (expiring, expiring_key) =
        create(&hub, &json!({"name": "old", "scopes": ["jobs:read"], "expires_in": "1h"}));
    let status = |address: &str, key: &str| with(address, key, "GET", "/api/v1/jobs", None).status;
    for address in [&hub.rest, &other.rest] {
        assert_eq!((status(address, &key), status(address, &expiring_key)), (200, 200));
    }
    // Streams that are open now.
    let mut events = TcpStream::connect(&other.rest).unwrap();
    let path = format!("/api/v1/jobs/{job}/events");
    write!(events, "GET {path} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {key}\r\n\r\n").unwrap();
    let mut calls = JobsServiceClient::new(channel(&other.grpc).await);
    let watch = WatchJobRequest { job_id: job.clone(), after_version: 0 };
    let mut watched = calls.watch_job(keyed(watch, &key)).await.unwrap().into_inner();
    assert!(watched.message().await.unwrap().is_some());

    let revoked = Instant::now();
    let answer = hub.call("DELETE", &format!("/api/v1/keys/{id}"), None);
    assert_eq!((answer.status, &answer.body["state"]), (200, &json!("revoked")));
    hub.psql(&format!("update api_keys set expires_at = now() where key_id = '{expiring}'"));
    for (address, key) in
        [(&hub.rest, &key), (&other.rest, &key), (&hub.rest, &expiring_key), (&other.rest, &expiring_key)]
    {
        eventually("the key is refused", || status(address, key) == 401);
        assert!(revoked.elapsed() < Duration::from_secs(5), "{:?}", revoked.elapsed());
    }
    println!("refused everywhere after {:.1} s", revoked.elapsed().as_secs_f64());
    let refused = calls.list_jobs(keyed(ListJobsRequest::default(), &key)).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    let ended = watched.message().await.unwrap_err();
    assert_eq!(ended.code(), Code::Unauthenticated);
    events.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let last =
        BufReader::new(events).lines().map_while(Result::ok).find(|line| line.contains("event: problem"));
    assert!(last.is_some());
    println!("streams ended after {:.1} s", revoked.elapsed().as_secs_f64());

    // The audit log says who did what, and holds no secret.
    eventually("the denied requests are in the log", || {
        hub.count("select count(*) from audit_log where outcome = 'denied' and who like 'thief (%'") > 0
    });
    let log = hub.psql("select * from audit_log");
    for part in ["key.create", "key.revoke", "submit_job", "127.0.0.1", "test (TestAdm1)"] {
        assert!(log.contains(part), "{part}: {log}");
    }
    for key in [KEY, &key] {
        assert!(!log.contains(&key[13..]), "a secret is in the log");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_key_overlaps_with_the_next_one() {
    let hub = Hub::start().await;
    let (id, old) = create(&hub, &json!({"name": "n", "scopes": ["jobs:read"], "daily_quota": 1000}));
    let rotate = |body: &Value| hub.call("POST", &format!("/api/v1/keys/{id}/rotate"), Some(body));
    assert_eq!(rotate(&json!({"overlap": "soon"})).fields(), ["overlap"]);
    let rotated = rotate(&json!({"overlap": "2s"}));
    assert_eq!(rotated.status, 201, "{}", rotated.body);
    let new = rotated.body["key"].as_str().unwrap();
    assert_eq!(
        (&rotated.body["scopes"], &rotated.body["daily_quota"]),
        (&json!(["jobs:read"]), &json!(1000))
    );
    let status = |key: &str| with(&hub.rest, key, "GET", "/api/v1/jobs", None).status;
    assert_eq!((status(&old), status(new)), (200, 200));
    eventually("the old one has expired", || status(&old) == 401);
    assert_eq!(status(new), 200);
    assert_eq!(rotate(&json!({})).body["code"], "invalid_state");
    assert_eq!(hub.call("POST", "/api/v1/keys/AbCd1234/rotate", Some(&json!({}))).status, 404);
    assert_eq!(hub.call("DELETE", "/api/v1/keys/a.b", None).status, 422);
    let listed = hub.get("/api/v1/keys");
    let states: Vec<_> = listed["keys"].as_array().unwrap().iter().map(|key| &key["state"]).collect();
    assert_eq!(states.len(), 3);
    assert!(states.contains(&&json!("expired")) && !listed.to_string().contains("hash"));
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_credentials_are_refused_and_harm_nothing() {
    let hub = Hub::start().await;
    let long = "x".repeat(20_000);
    let valid_form = KEY.replace("TestAdm1", "TestAdm2");
    let hostile = [
        "csk_",
        "csk__",
        "csk_TestAdm1",
        "'; drop table api_keys; --",
        "csk_TestAdm1_' or '1'='1",
        "%00",
        "null",
        "../../etc/passwd",
        "csk_TestAdm1_0123456789abcdefghijklmnopqrstuv000000",
        "${jndi:ldap://x}",
        "\t",
        "\u{1b}[31m",
        "schlüssel",
        "\u{202e}yek",
        &long,
        &valid_form,
        &KEY[1..],
        &KEY.to_lowercase(),
        "Bearer",
        "*",
    ];
    for value in hostile {
        for (name, value) in [("X-API-Key", value.to_owned()), ("Authorization", format!("Bearer {value}"))] {
            let answer = http(&hub.rest, "GET", "/api/v1/jobs", &[(name, &value)], None);
            assert!([400, 401].contains(&answer.status), "{name}: {value:?}: {}", answer.status);
        }
    }
    for value in ["Basic dTpw", "Digest username=x", KEY, "Bearer", "Negotiate"] {
        let answer = http(&hub.rest, "GET", "/api/v1/jobs", &[("Authorization", value)], None);
        assert_eq!(answer.status, 401, "{value}");
    }
    // Two different keys: which one counts?
    let both = [("X-API-Key", KEY), ("X-API-Key", "other")];
    assert_eq!(http(&hub.rest, "GET", "/api/v1/jobs", &both, None).status, 401);
    // A proxy uses Authorization for itself.
    let proxied = [("X-API-Key", KEY), ("Authorization", "Basic dTpw")];
    assert_eq!(http(&hub.rest, "GET", "/api/v1/jobs", &proxied, None).status, 200);
    assert_eq!(hub.count("select count(*) from api_keys"), 1);
    // Denied requests do not flood the log.
    for _ in 0..200 {
        with(&hub.rest, "none", "GET", "/api/v1/jobs", None);
    }
    eventually("lines are written", || {
        hub.count("select count(*) from audit_log where outcome = 'denied'") > 0
    });
    assert!(hub.count("select count(*) from audit_log") < 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_keys_only_loopback_is_served() {
    let hub = Hub::start().await;
    let open = access::Args { open: true, ..Default::default() };
    let keyed = access::Args::default();
    let anywhere = [0, 0, 0, 0];
    assert!(hub.refused(anywhere, &open).await.contains("--open (COWRIESTREAM_OPEN) is for loopback only"));
    assert_eq!(hub.refused(anywhere, &keyed).await, "");
    hub.psql("update api_keys set revoked_at = now()");
    let said = hub.refused(anywhere, &keyed).await;
    assert!(said.contains("there is no API key") && said.contains("cowriestream keys create"), "{said}");
    // Open, on loopback: a key is not looked at, and what is no key is refused.
    let other = hub.another(&open, None).await;
    for (value, status) in [("", 200), ("anything", 200)] {
        assert_eq!(with(&other.rest, value, "GET", "/api/v1/jobs", None).status, status);
    }
    let basic = [("Authorization", "Basic dTpw")];
    assert_eq!(http(&other.rest, "GET", "/api/v1/jobs", &basic, None).status, 401);
    JobsServiceClient::new(channel(&other.grpc).await).list_jobs(ListJobsRequest::default()).await.unwrap();
}
