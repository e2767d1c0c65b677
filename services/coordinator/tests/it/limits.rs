//! Limits of a key: per minute, per day, streams at a time; over several coordinators, with Redis and without.

use serde_json::json;
use servers::testing::Backend;

use crate::{
    http::{Answer, http},
    hub::{Hub, KEY},
};

fn get(address: &str, key: &str) -> Answer {
    http(address, "GET", "/api/v1/jobs", &[("X-API-Key", key)], None)
}

fn header(answer: &Answer, name: &str) -> String {
    let line = answer.head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
    line.unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn coordinators_share_the_limit_of_a_key_while_redis_answers() {
    let hub = Hub::start().await;
    let directory = servers::testing::directory();
    let mut redis = Backend::redis(&directory.path().join("r")).await;
    let args = access::Args { reads_per_minute: 30, ..Default::default() };
    let (one, two) =
        (hub.another(&args, Some(&redis.url())).await, hub.another(&args, Some(&redis.url())).await);
    let mut granted = 0;
    for n in 0..60 {
        let answer = get(if n % 2 == 0 { &one.rest } else { &two.rest }, KEY);
        assert_eq!(header(&answer, "ratelimit-policy"), "\"read\";q=30;w=60");
        match answer.status {
            200 => granted += 1,
            status => {
                assert_eq!((status, &answer.body["code"]), (429, &json!("too_many_requests")));
                assert!(header(&answer, "ratelimit").starts_with("\"read\";r=0;t="), "{}", answer.head);
                assert!((1..=2).contains(&header(&answer, "retry-after").parse::<u32>().unwrap()));
            }
        }
    }
    // A slow machine earns a token every two seconds.
    assert!((30..=45).contains(&granted), "{granted}");
    // Other classes of requests have limits of their own.
    let body = r#"{"job_type": "diagnostic", "queue": "nobody"}"#;
    assert_eq!(http(&one.rest, "POST", "/api/v1/jobs", &[], Some(body)).status, 201);

    // Redis away: each has a limit of its own, and requests are still answered.
    redis.stop().await;
    let granted: Vec<_> = [&one.rest, &two.rest]
        .map(|address| (0..40).filter(|_| get(address, KEY).status == 200).count())
        .into();
    assert!(granted.iter().all(|granted| (30..=45).contains(granted)), "{granted:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daily_quota_is_never_exceeded() {
    let hub = Hub::start().await;
    let other = hub.another(&access::Args::default(), None).await;
    let created = hub.call(
        "POST",
        "/api/v1/keys",
        Some(&json!({"name": "q", "scopes": ["jobs:read"], "daily_quota": 7})),
    );
    let key = created.body["key"].as_str().unwrap();
    let answers: Vec<_> =
        (0..20).map(|n| get(if n % 2 == 0 { &hub.rest } else { &other.rest }, key)).collect();
    let granted = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(granted, 7);
    let last = answers.last().unwrap();
    assert_eq!(last.status, 429);
    assert!(last.body["detail"].as_str().unwrap().contains("daily quota"), "{}", last.body);
    assert!(header(last, "ratelimit").starts_with("\"day\";r=0;t="), "{}", last.head);
    assert!(header(last, "retry-after").parse::<u32>().unwrap() <= 86_400);
    assert!(header(&answers[0], "ratelimit").contains("\"day\";r=6;"), "{}", answers[0].head);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_has_a_limited_number_of_streams() {
    let hub = Hub::start().await;
    let args = access::Args { streams_per_key: 2, ..Default::default() };
    let other = hub.another(&args, None).await;
    let job = hub.submit(&json!({"job_type": "diagnostic", "queue": "nobody"}));
    let open = || {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(&other.rest).unwrap();
        write!(
            stream,
            "GET /api/v1/jobs/{job}/events HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {KEY}\r\n\r\n"
        )
        .unwrap();
        let mut head = [0; 12];
        stream.read_exact(&mut head).unwrap();
        (stream, String::from_utf8_lossy(&head[9..]).into_owned())
    };
    let (first, second, third) = (open(), open(), open());
    assert_eq!([&first.1, &second.1, &third.1], ["200", "200", "429"]);
    drop(first);
    servers::testing::eventually("there is a place again", || open().1 == "200");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_lets_no_unknown_key_in() {
    let mut hub = Hub::start().await;
    let other = hub.another(&access::Args::default(), None).await;
    assert_eq!(get(&hub.rest, KEY).status, 200);
    hub.stop_postgres().await;
    // The other coordinator does not know the key; this one does, and finds no jobs without its database.
    let unknown = get(&other.rest, KEY);
    assert_eq!((unknown.status, &unknown.body["code"]), (503, &json!("unavailable")));
    let known = http(&hub.rest, "GET", "/api/v1/job-types", &[("X-API-Key", KEY)], None);
    assert_eq!(known.status, 200);
    assert_eq!(http(&hub.rest, "GET", "/api/v1/job-types", &[("X-API-Key", "")], None).status, 401);
}
