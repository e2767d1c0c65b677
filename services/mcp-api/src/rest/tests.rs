//! The OpenAPI document.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;

use super::*;

const SNAPSHOT: &str = "openapi.json";
/// Set to write the snapshot again.
const UPDATE: &str = "COWRIESTREAM_UPDATE_SNAPSHOTS";

fn document() -> Value {
    let document = openapi::document(TITLE, DESCRIPTION);
    let routes = OpenApiRouter::with_openapi(document).merge(routes());
    serde_json::to_value(routes.into_openapi()).unwrap()
}

#[test]
fn the_document_is_the_stored_one() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(SNAPSHOT);
    let now = serde_json::to_string_pretty(&document()).unwrap() + "\n";
    if std::env::var_os(UPDATE).is_some() {
        fs::write(&file, &now).unwrap();
    }
    let stored = fs::read_to_string(&file).unwrap_or_default();
    let differs = now.lines().zip(stored.lines()).find(|(now, stored)| now != stored);
    assert!(now == stored, "{SNAPSHOT} differs ({differs:?}): set {UPDATE}=1 to write it, and review it");
}

#[test]
fn each_operation_says_what_a_client_needs() {
    let document = document();
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let name = format!("{method} {path}");
            let id = operation["operationId"].as_str().unwrap_or_default();
            assert!(ids.insert(id.to_owned()) && !id.is_empty(), "{name}: operationId {id:?}");
            assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{name}");
            assert!(operation["security"][0]["api_key"][0].is_string(), "{name}");
            for (status, response) in operation["responses"].as_object().unwrap() {
                assert!(!response["description"].as_str().unwrap_or_default().is_empty(), "{name} {status}");
            }
        }
    }
}

#[test]
fn each_reference_leads_to_a_schema() {
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(object) => {
                found.extend(object.get("$ref").and_then(Value::as_str));
                object.values().for_each(|value| references(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| references(value, found)),
            _ => (),
        }
    }
    let document = document();
    let mut found = Vec::new();
    references(&document, &mut found);
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}
