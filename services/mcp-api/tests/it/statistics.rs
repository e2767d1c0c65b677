//! Each figure equals a direct aggregate over `events`.

use serde_json::{Value, json};

use crate::hub::{Hub, event};

pub const RANGE: &str = "from=2026-03-01T00:00:00Z&to=2026-03-02T00:00:00Z";

/// Three sessions of two sensors.
pub fn log() -> Vec<(&'static str, Vec<Value>)> {
    let one = |eventid: &str, minute: u32, fields: Value| {
        event("aaaa0001", &format!("2026-03-01T10:{minute:02}:00.000000Z"), "203.0.113.7", eventid, fields)
    };
    let two = |eventid: &str, minute: u32, fields: Value| {
        event("bbbb0002", &format!("2026-03-01T11:{minute:02}:30.500000Z"), "203.0.113.9", eventid, fields)
    };
    let three = |eventid: &str, minute: u32, fields: Value| {
        event("cccc0003", &format!("2026-03-01T12:{minute:02}:59.999999Z"), "2001:db8::1", eventid, fields)
    };
    let hash = "a".repeat(64);
    let connect = json!({ "protocol": "ssh", "src_port": 4242, "dst_port": 2222 });
    vec![
        (
            "fra-1",
            vec![
                one("session.connect", 0, connect.clone()),
                one("client.version", 0, json!({ "version": "SSH-2.0-Go" })),
                one("client.kex", 0, json!({ "hassh": "0a07365cc01fa9fc82608ba4019af499" })),
                one(
                    "login.failed",
                    1,
                    json!({ "username": "root", "password": "hunter2", "message": "login attempt [root/hunter2] failed" }),
                ),
                one(
                    "login.success",
                    2,
                    json!({ "username": "root", "password": "s3cret-pass", "message": "login attempt [root/s3cret-pass] succeeded" }),
                ),
                one("command.input", 3, json!({ "input": "uname -a" })),
                one("command.input", 4, json!({ "input": "=cmd|' /C calc'!A0" })),
                one("session.file_download", 5, json!({ "url": "http://198.51.100.5/x.sh", "shasum": hash })),
                one("direct-tcpip.request", 6, json!({ "dst_ip": "example.org", "dst_port": 443 })),
                one("session.closed", 7, json!({ "duration": 420.0 })),
            ],
        ),
        (
            "nyc-1",
            vec![
                two("session.connect", 0, connect.clone()),
                two(
                    "login.failed",
                    1,
                    json!({ "username": "=HYPERLINK(\"http://x\")", "password": "a,\"b\"" }),
                ),
                two("login.failed", 1, json!({ "username": "root", "password": "hunter2" })),
                two("command.input", 3, json!({ "input": "uname -a" })),
                three("session.connect", 0, json!({ "protocol": "telnet", "src_port": 1, "dst_port": 23 })),
                three("login.failed", 1, json!({ "username": "admin", "password": "admin" })),
                three("session.closed", 2, json!({ "duration": 120.0 })),
            ],
        ),
    ]
}

pub async fn loaded() -> Hub {
    let hub = Hub::start().await;
    for (sensor, lines) in log() {
        hub.load(sensor, &lines).await;
    }
    hub
}

/// The figures as `events` has them, where a condition holds.
fn figures(hub: &Hub, condition: &str) -> Value {
    hub.json(&format!(
        "select count(*) as events, count(*) filter (where eventid = 'cowrie.session.connect') as sessions,
            count(*) filter (where eventid = 'cowrie.login.failed') as logins_failed,
            count(*) filter (where eventid = 'cowrie.login.success') as logins_succeeded,
            count(*) filter (where eventid = 'cowrie.command.input') as commands,
            count(*) filter (where eventid = 'cowrie.session.file_download') as downloads,
            coalesce(sum(length), 0) as bytes, count(distinct src_ip) as distinct_src_ips,
            count(distinct sensor) as distinct_sensors, count(distinct (sensor, session)) as distinct_sessions,
            count(distinct (payload ->> 'username', payload ->> 'password')) filter (where eventid like 'cowrie.login.%') as distinct_credentials
        from events where {condition}"
    ))
}

fn without_times(mut figures: Value) -> Value {
    for time in ["first_seen", "last_seen"] {
        figures.as_object_mut().unwrap().remove(time);
    }
    figures
}

#[tokio::test(flavor = "multi_thread")]
async fn the_overview_and_the_timeline_equal_the_events() {
    let hub = loaded().await;
    for (sensor, also) in [
        ("", "true"),
        ("&sensor=fra-1", "sensor = 'fra-1'"),
        ("&sensor=fra-1,nyc-1", "true"),
        ("&sensor=none", "false"),
    ] {
        let overview = hub.get(&format!("/api/v1/statistics/overview?{RANGE}{sensor}"));
        assert_eq!(without_times(overview["figures"].clone()), figures(&hub, also), "{sensor}");
        let timeline = hub.get(&format!("/api/v1/statistics/timeline?{RANGE}{sensor}&step=1h"));
        let points = timeline["points"].as_array().unwrap();
        assert_eq!(points.len(), 24);
        for point in points {
            let (from, to) = (point["from"].as_str().unwrap(), point["to"].as_str().unwrap());
            let of_step = figures(&hub, &format!("{also} and ts >= '{from}' and ts < '{to}'"));
            for figure in
                ["events", "sessions", "logins_failed", "logins_succeeded", "commands", "downloads", "bytes"]
            {
                assert_eq!(point[figure], of_step[figure], "{figure} {from} {sensor}");
            }
        }
    }
    let odd = hub.get("/api/v1/statistics/overview?from=2026-03-01T10:01:00Z&to=2026-03-01T10:04:00Z");
    let condition = "ts >= '2026-03-01T10:01:00Z' and ts < '2026-03-01T10:04:00Z'";
    assert_eq!(without_times(odd["figures"].clone()), figures(&hub, condition));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_wrong_field_is_named_at_once() {
    let hub = Hub::start().await;
    let answer = hub.call(
        "GET",
        "/api/v1/statistics/timeline?window=1x&at=yesterday&from=2026-03-02T00:00:00Z&sensor=a%20b&step=7s&colour=red",
        None,
    );
    assert_eq!(answer.status, 422, "{}", answer.body);
    let mut fields = answer.fields();
    fields.sort_unstable();
    assert_eq!(fields, ["at", "colour", "sensor", "step", "window", "window"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn top_lists_and_totals_equal_the_events() {
    let hub = loaded().await;
    for (sensors, condition) in
        [("", "true"), ("&sensor=fra-1,nyc-1", "true"), ("&sensor=nyc-1", "sensor = 'nyc-1'")]
    {
        let count = |key: &str, of: &str| {
            let sql = format!(
                "select coalesce(jsonb_object_agg(key, n), '{{}}') as found from (
                    select {key} as key, count(*) as n from events where {of} and {condition} group by 1) q where key is not null"
            );
            hub.json(&sql)["found"].clone()
        };
        let of = |list: &Value, figure: &str| -> Value {
            let entries = list["top"].as_array().unwrap().iter();
            entries.map(|entry| (entry["key"].as_str().unwrap().to_owned(), entry[figure].clone())).collect()
        };
        let get = |path: &str| hub.get(&format!("/api/v1/statistics/{path}?{RANGE}{sensors}&limit=100"));
        let threats = get("threats");
        let connects = "eventid = 'cowrie.session.connect'";
        assert_eq!(of(&threats["src_ips"], "sessions"), count("host(src_ip)", connects), "{sensors}");
        assert_eq!(of(&threats["src_ips"], "events"), count("host(src_ip)", "true"), "{sensors}");
        assert_eq!(
            of(&threats["hassh"], "events"),
            count("payload ->> 'hassh'", "eventid = 'cowrie.client.kex'")
        );
        let credentials = get("credentials");
        let logins = "eventid like 'cowrie.login.%'";
        assert_eq!(
            of(&credentials["usernames"], "events"),
            count("payload ->> 'username'", logins),
            "{sensors}"
        );
        assert_eq!(
            of(&credentials["passwords"], "events"),
            count("payload ->> 'password'", logins),
            "{sensors}"
        );
        let commands = get("commands");
        let inputs = "eventid = 'cowrie.command.input'";
        let all = hub.json(&format!("select count(*) as n from events where {inputs} and {condition}"));
        assert_eq!(commands["commands"], all["n"]);
        let sum: i64 = commands["distinct"]["top"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["commands"].as_i64().unwrap())
            .sum();
        assert_eq!(all["n"], sum);
        let downloads = get("downloads");
        assert_eq!(
            of(&downloads["files"], "events"),
            count("payload ->> 'shasum'", "eventid = 'cowrie.session.file_download'")
        );
        let sessions = hub.get(&format!("/api/v1/statistics/sessions?{RANGE}{sensors}"));
        let expected = hub.json(&format!(
            "select count(*) as sessions, count(*) filter (where success) as with_login_success, count(*) filter (where typed) as with_commands
            from (select bool_or(eventid = 'cowrie.login.success') as success, bool_or(eventid = 'cowrie.command.input') as typed
                from events where {condition} group by sensor, session) q"
        ));
        for figure in ["sessions", "with_login_success", "with_commands"] {
            assert_eq!(sessions[figure], expected[figure], "{figure} {sensors}");
        }
    }
    let sensors = hub.get(&format!("/api/v1/statistics/sensors?{RANGE}"));
    for sensor in sensors["sensors"].as_array().unwrap() {
        let of_sensor = figures(&hub, &format!("sensor = '{}'", sensor["sensor"].as_str().unwrap()));
        for figure in ["events", "sessions", "logins_failed", "commands", "downloads", "bytes"] {
            assert_eq!(sensor[figure], of_sensor[figure], "{figure}");
        }
    }
    assert_eq!(sensors["sensors"].as_array().unwrap().len(), 2);
}
