//! Keys: which routes and which data they open.

use access::Key;
use serde_json::json;

use crate::{
    http::Answer,
    hub::{Hub, add_key},
    statistics::{RANGE, loaded},
};

/// A new key.
fn key(hub: &Hub, scopes: &str, sensors: Option<&str>) -> String {
    let key = Key::generate().unwrap().reveal().to_owned();
    add_key(hub.database_url(), &key, scopes, sensors);
    key
}

fn get(hub: &Hub, key: &str, path: &str) -> Answer {
    hub.with(path, &[("X-API-Key", key)])
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_needs_a_key_with_its_scope() {
    let hub = loaded().await;
    let jobs = key(&hub, "jobs:read,jobs:submit", None);
    let reader = key(&hub, "stats:read", None);
    let document = hub.get("/openapi.json");
    let mut operations = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let (method, path) = (method.to_uppercase(), path.replace(['{', '}'], ""));
            let status = |key: &str| {
                let headers = [("X-API-Key", key)];
                crate::http::http(&hub.rest, &method, &path, &headers, (method != "GET").then_some("{}"))
                    .status
            };
            assert_eq!((status(""), status(&jobs)), (401, 403), "{method} {path}");
            let needed = operation["security"][0]["api_key"][0].as_str().unwrap();
            assert_eq!(status(&reader) == 403, needed != "stats:read", "{method} {path}");
            operations += 1;
        }
    }
    assert!(operations > 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_with_sensors_sees_only_these_and_no_password() {
    let hub = loaded().await;
    let limited = key(&hub, "stats:read", Some("fra-1"));
    let full = key(&hub, "stats:read,secrets:read", Some("fra-1"));
    let path = format!("/api/v1/sessions?{RANGE}");
    let (all, few) = (hub.get(&path), get(&hub, &limited, &path).body);
    assert_eq!(all["sessions"].as_array().unwrap().len(), 3);
    let few = few["sessions"].as_array().unwrap();
    assert_eq!((few.len(), &few[0]["sensor"]), (1, &json!("fra-1")));
    assert_eq!(get(&hub, &limited, "/api/v1/sessions/nyc-1/bbbb0002").status, 404);
    let other = get(&hub, &limited, &format!("/api/v1/statistics/overview?{RANGE}&sensor=nyc-1"));
    assert_ne!(other.status, 200, "{}", other.body);
    let shown = "/api/v1/sessions/fra-1/aaaa0001";
    assert!(!get(&hub, &limited, shown).body.to_string().contains("hunter2"));
    assert!(get(&hub, &full, shown).body.to_string().contains("hunter2"));
    let credentials = format!("/api/v1/statistics/credentials?{RANGE}");
    assert!(!get(&hub, &limited, &credentials).body.to_string().contains("hunter2"));
}
