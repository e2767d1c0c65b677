//! Sessions: pages, filters, streams, one of them.

use serde_json::{Value, json};

use crate::{
    hub::{Hub, event},
    statistics::loaded,
};

const RANGE: &str = "from=2026-03-01T00:00:00Z&to=2026-03-02T00:00:00Z";

fn ids(list: &Value) -> Vec<String> {
    let sessions = list["sessions"].as_array().unwrap().iter();
    sessions.map(|session| session["session"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_filter_selects_its_sessions() {
    let hub = loaded().await;
    for (filter, expected) in [
        ("", vec!["cccc0003", "bbbb0002", "aaaa0001"]),
        ("sort=oldest", vec!["aaaa0001", "bbbb0002", "cccc0003"]),
        ("sort=most_events", vec!["aaaa0001", "bbbb0002", "cccc0003"]),
        ("sensor=fra-1", vec!["aaaa0001"]),
        ("src_ip=203.0.113.9", vec!["bbbb0002"]),
        ("network=203.0.113.0/24", vec!["bbbb0002", "aaaa0001"]),
        ("network=::/0", vec!["cccc0003"]),
        ("username=root", vec!["bbbb0002", "aaaa0001"]),
        ("password=hunter2", vec!["bbbb0002", "aaaa0001"]),
        ("hassh=0a07365cc01fa9fc82608ba4019af499", vec!["aaaa0001"]),
        ("client_version=SSH-2.0-Go", vec!["aaaa0001"]),
        ("protocol=telnet", vec!["cccc0003"]),
        ("command=uname", vec!["bbbb0002", "aaaa0001"]),
        ("outcome=succeeded", vec!["aaaa0001"]),
        ("outcome=failed", vec!["cccc0003", "bbbb0002"]),
        ("outcome=none", vec![]),
        ("username=%27%20or%201=1--", vec![]),
    ] {
        assert_eq!(ids(&hub.get(&format!("/api/v1/sessions?{RANGE}&{filter}"))), expected, "{filter}");
    }
    let answer = hub.call(
        "GET",
        "/api/v1/sessions?src_ip=x&network=y&outcome=maybe&sort=up&fields=colour&format=xml&page_size=0&command=%00",
        None,
    );
    let mut fields = answer.fields();
    fields.sort_unstable();
    fields.dedup();
    assert_eq!(fields, ["command", "fields", "format", "network", "outcome", "page_size", "sort", "src_ip"]);
    let some = hub.get(&format!("/api/v1/sessions?{RANGE}&sensor=fra-1&fields=session,username"));
    assert_eq!(some["sessions"], json!([{ "session": "aaaa0001", "username": "root" }]));
}

async fn load(hub: &Hub, from: usize, to: usize) {
    let lines: Vec<_> = (from..to)
        .map(|n| {
            let at = format!("2026-03-01T{:02}:{:02}:00.000000Z", n / 60, n % 60);
            event(&format!("s{n:04}"), &at, "203.0.113.7", "session.connect", json!({ "protocol": "ssh" }))
        })
        .collect();
    hub.load("fra-1", &lines).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_stable_while_sessions_arrive() {
    let hub = Hub::start().await;
    load(&hub, 100, 120).await;
    for (sort, earlier, later) in [("newest", 0, 200), ("oldest", 20, 220)] {
        let expected = ids(&hub.get(&format!("/api/v1/sessions?{RANGE}&sort={sort}")));
        let (mut seen, mut token) = (Vec::new(), String::new());
        for page in 0.. {
            let list =
                hub.get(&format!("/api/v1/sessions?{RANGE}&sort={sort}&page_size=7&page_token={token}"));
            seen.extend(ids(&list));
            // Sessions that arrive on both sides of the list.
            load(&hub, earlier + page, earlier + page + 1).await;
            load(&hub, later + page, later + page + 1).await;
            match list["next_page_token"].as_str() {
                Some(next) => next.clone_into(&mut token),
                None => break,
            }
        }
        let of_the_first: Vec<_> = seen.iter().filter(|id| expected.contains(id)).cloned().collect();
        assert_eq!(of_the_first, expected, "{sort}");
        let mut distinct = seen.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), seen.len(), "{sort}");
    }
    let other = hub.get(&format!("/api/v1/sessions?{RANGE}&sort=oldest&page_size=1"));
    let token = other["next_page_token"].as_str().unwrap();
    let answer = hub.call("GET", &format!("/api/v1/sessions?{RANGE}&sort=newest&page_token={token}"), None);
    assert_eq!((answer.status, answer.fields()), (422, vec!["page_token"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_hold_every_session_and_no_formula() {
    let hub = Hub::start().await;
    load(&hub, 0, 1_200).await;
    let text = hub.text(&format!("/api/v1/sessions?{RANGE}&format=ndjson&fields=session"));
    assert_eq!(text.lines().count(), 1_200);
    assert!(text.starts_with("{\"session\":\"s1199\"}\n"));
    hub.load(
        "fra-1",
        &[
            event(
                "=1+1",
                "2026-03-01T23:00:00.000000Z",
                "203.0.113.7",
                "session.connect",
                json!({ "protocol": "@x" }),
            ),
            event(
                "=1+1",
                "2026-03-01T23:00:01.000000Z",
                "203.0.113.7",
                "login.success",
                json!({ "username": "=HYPERLINK(\"http://x\",\"y\")", "password": "+1\r\n=2" }),
            ),
        ],
    )
    .await;
    let text =
        hub.text(&format!("/api/v1/sessions?{RANGE}&format=csv&fields=session,protocol,username,password"));
    let rows: Vec<_> = text.split("\r\n\"").collect();
    assert_eq!(text.split("\r\n").next(), Some("session,protocol,username,password"));
    assert_eq!(rows.len(), 1_202);
    assert!(
        rows[1].starts_with("'=1+1\",\"'@x\",\"'=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\",\"'+1\r\n=2\""),
        "{}",
        rows[1]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_shown_with_its_events() {
    let hub = loaded().await;
    let shown = hub.get("/api/v1/sessions/fra-1/aaaa0001?page_size=4");
    assert_eq!(shown["session"]["event_count"], 10);
    assert_eq!(shown["events"].as_array().unwrap().len(), 4);
    assert_eq!(shown["events"][3]["payload"]["password"], "hunter2");
    let token = shown["next_page_token"].as_str().unwrap();
    let rest = hub.get(&format!("/api/v1/sessions/fra-1/aaaa0001?page_token={token}"));
    assert_eq!(rest["events"].as_array().unwrap().len(), 6);
    assert_eq!(hub.call("GET", "/api/v1/sessions/nyc-1/aaaa0001", None).status, 404);
    assert_eq!(hub.call("GET", "/api/v1/sessions/fra-1/%00", None).status, 404);
    let answer = hub.call("GET", "/api/v1/statistics/overview?at=2026-03-02T00:00:00Z", None);
    // The test reads headers in lower case; the mark of a weak tag is upper case.
    let tag = answer.head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap();
    let tag = tag.replacen("w/", "W/", 1);
    assert!(answer.head.contains("x-answered-by: primary"), "{}", answer.head);
    let again = hub.with("/api/v1/statistics/overview?at=2026-03-02T00:00:00Z", &[("If-None-Match", &tag)]);
    assert_eq!(again.status, 304);
}
