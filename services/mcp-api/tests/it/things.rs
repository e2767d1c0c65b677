//! One thing, search, indicators and findings.

use serde_json::{Value, json};

use crate::statistics::loaded;

const RANGE: &str = "from=2026-03-01T00:00:00Z&to=2026-03-02T00:00:00Z";
const HASSH: &str = "0a07365cc01fa9fc82608ba4019af499";

#[tokio::test(flavor = "multi_thread")]
async fn what_one_thing_did_equals_the_events() {
    let hub = loaded().await;
    let file = "a".repeat(64);
    let login = "eventid like 'cowrie.login.%' and payload ->> 'username' = 'root'";
    for (path, condition, sessions) in [
        ("ips/203.0.113.7", "src_ip = '203.0.113.7'", 1),
        ("ips/2001:db8::1", "src_ip = '2001:db8::1'", 1),
        ("networks/203.0.113.0%2F24", "src_ip <<= '203.0.113.0/24'", 2),
        ("usernames/root", login, 2),
        ("commands/uname%20-a", "payload ->> 'input' = 'uname -a'", 2),
        (&format!("hassh/{HASSH}"), "eventid = 'cowrie.client.kex'", 1),
        (&format!("files/{file}"), "eventid = 'cowrie.session.file_download'", 1),
        ("forwards/example.org:443", "eventid = 'cowrie.direct-tcpip.request'", 1),
        ("ips/192.0.2.1", "false", 0),
    ] {
        let thing = hub.get(&format!("/api/v1/{path}?{RANGE}&step=1h"));
        let expected = hub.json(&format!(
            "select count(*) as events, coalesce(sum(length), 0) as bytes, count(distinct (sensor, session)) as distinct_sessions,
                min(ts) as first_seen, max(ts) as last_seen from events where {condition}"
        ));
        for figure in ["events", "bytes", "distinct_sessions"] {
            assert_eq!(thing["figures"][figure], expected[figure], "{figure} {path}");
        }
        let activity: i64 =
            thing["activity"].as_array().unwrap().iter().map(|point| point["events"].as_i64().unwrap()).sum();
        assert_eq!(expected["events"], activity, "{path}");
        assert_eq!(thing["sessions"].as_array().unwrap().len(), sessions, "{path}");
        let same_time = |seen: &Value, stored: &Value| {
            let read = |time: &Value| {
                time.as_str()
                    .map(|time| time.replace("+00:00", "Z").parse::<chrono::DateTime<chrono::Utc>>().unwrap())
            };
            assert_eq!(read(seen), read(stored), "{path}");
        };
        same_time(&thing["first_seen"], &expected["first_seen"]);
        same_time(&thing["last_seen"], &expected["last_seen"]);
    }
    let ip = hub.get(&format!("/api/v1/ips/203.0.113.7?{RANGE}"));
    let related = ip["related"].as_array().unwrap();
    let has = |kind: &str, key: &str| related.iter().any(|one| one["kind"] == kind && one["key"] == key);
    assert!(
        has("username", "root") && has("file", &file) && has("forward", "example.org:443"),
        "{related:?}"
    );
    for wrong in ["ips/nowhere", "ips/203.0.113.0%2F24", "networks/203.0.113.0%2F16", "features/colour/red"] {
        assert_eq!(hub.call("GET", &format!("/api/v1/{wrong}"), None).status, 422, "{wrong}");
    }
    let features = hub.get(&format!("/api/v1/features/src_ip/203.0.113.9?{RANGE}"));
    assert_eq!(features["figures"]["events"], 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn search_recognises_what_a_text_names() {
    let hub = loaded().await;
    for (q, kinds) in [
        ("203.0.113.7", vec!["ip"]),
        ("203.0.113.0/24", vec!["network"]),
        (HASSH, vec!["hassh"]),
        ("aaaa0001", vec!["session"]),
        ("root", vec!["username"]),
        ("uname%20-a", vec!["command"]),
        ("root:hunter2", vec!["credential"]),
        ("example.org:443", vec!["forward"]),
        ("SSH-2.0-Go", vec!["client_version"]),
        ("nobody", vec![]),
    ] {
        let found = hub.get(&format!("/api/v1/search?q={q}&{RANGE}"));
        let matches = found["matches"].as_array().unwrap();
        assert_eq!(matches.iter().map(|one| one["kind"].as_str().unwrap()).collect::<Vec<_>>(), kinds, "{q}");
        for path in matches.iter().filter_map(|one| one["path"].as_str()) {
            assert_eq!(hub.call("GET", path, None).status, 200, "{path}");
        }
    }
    assert_eq!(hub.call("GET", "/api/v1/search", None).fields(), ["q"]);
    let indicators = hub.get(&format!("/api/v1/indicators?{RANGE}&page_size=2"));
    let first = &indicators["indicators"][0];
    assert_eq!(
        (&first["type"], &first["value"], &first["score"]),
        (&json!("address"), &json!("203.0.113.7"), &json!(80))
    );
    let token = indicators["next_page_token"].as_str().unwrap();
    let rest = hub.get(&format!("/api/v1/indicators?{RANGE}&page_token={token}"));
    assert_eq!(rest["indicators"].as_array().unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finding_is_listed_shown_and_triaged() {
    let hub = loaded().await;
    hub.psql(
        "insert into findings (kind, severity, rule, title, dimension, key, found_at, evidence, sensor)
        select 'signal', 'high', 'r' || n, 't', 'password', 'hunter2', now(), '{\"password\": \"hunter2\"}', 'fra-1' from generate_series(1, 3) n",
    );
    let list = hub.get("/api/v1/findings?page_size=2&severity=high&status=open");
    let id = list["findings"][0]["finding_id"].as_str().unwrap().to_owned();
    let token = list["next_page_token"].as_str().unwrap();
    let rest = hub.get(&format!("/api/v1/findings?page_size=2&severity=high&status=open&page_token={token}"));
    assert_eq!(rest["findings"].as_array().unwrap().len(), 1);
    assert_eq!(rest["next_page_token"], Value::Null);
    let path = format!("/api/v1/findings/{id}");
    let answer = hub.call("PATCH", &path, Some(&json!({ "status": "done", "note": 5, "colour": "red" })));
    assert_eq!((answer.status, answer.fields()), (422, vec!["status", "note", "colour"]));
    let answer = hub.call("PATCH", &path, Some(&json!({ "status": "acknowledged", "note": "ours" })));
    assert_eq!(answer.status, 200, "{}", answer.body);
    let shown = hub.get(&path);
    assert_eq!(
        (&shown["finding"]["status"], &shown["finding"]["note"]),
        (&json!("acknowledged"), &json!("ours"))
    );
    assert_eq!(shown["triage"].as_array().unwrap().len(), 1);
    assert_eq!(hub.get("/api/v1/findings?status=open")["findings"].as_array().unwrap().len(), 2);
    let nobody = "/api/v1/findings/00000000-0000-0000-0000-000000000000";
    assert_eq!(hub.call("PATCH", nobody, Some(&json!({ "status": "open" }))).status, 404);
}
