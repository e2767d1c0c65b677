//! The REST interface. One file per endpoint: its request, its handler, and their test. This page says which
//! scope and which refusals each one has; `openapi.json` holds what clients see.

#![allow(unused_qualifications, reason = "utoipa::path writes them")]

mod job_types;
mod jobs;
mod keys;
mod queues;
mod schedules;
mod workers;

use web::{
    App, Code, Guard, Operations, Scope, Verify, axum, openapi, route,
    utoipa_axum::{router::OpenApiRouter, routes},
};

use crate::service::Service;

const DESCRIPTION: &str = "Jobs: submit, watch, cancel, retry; queues, workers, schedules. The same over gRPC: \
    cowrie.v1. Every request needs a key that has the scope of the operation.";

/// The router: every endpoint behind the checks of `web`.
pub(crate) fn app(service: Service, guard: Guard, verify: impl Verify) -> axum::Router {
    let document = openapi::document("cowriestream coordinator", DESCRIPTION);
    App { document, guard, verify }.router(routes(), service)
}

/// What each operation needs, for gRPC.
pub(crate) fn operations() -> Operations {
    let document = openapi::document("cowriestream coordinator", DESCRIPTION);
    Operations::of(&OpenApiRouter::with_openapi(document).merge(routes()).into_openapi())
}

fn routes() -> OpenApiRouter<Service> {
    use Code::{Conflict, InvalidState, NotFound};
    use Scope::{Admin, JobsRead, JobsSubmit};
    let mut router = OpenApiRouter::new()
        .routes(route(JobsRead, &[], routes!(jobs::list::list)))
        .routes(route(JobsSubmit, &[Conflict], routes!(jobs::submit::submit)))
        .routes(route(JobsRead, &[NotFound], routes!(jobs::show::show)))
        .routes(route(JobsSubmit, &[NotFound, InvalidState], routes!(jobs::cancel::cancel)))
        .routes(route(JobsSubmit, &[NotFound, InvalidState], routes!(jobs::retry::retry)))
        .routes(route(JobsRead, &[NotFound], routes!(jobs::events::events)))
        .routes(route(JobsRead, &[], routes!(job_types::list::list)))
        .routes(route(JobsRead, &[NotFound], routes!(job_types::show::show)))
        .routes(route(JobsRead, &[], routes!(queues::list::list)))
        .routes(route(JobsRead, &[NotFound], routes!(queues::show::show)))
        .routes(route(Admin, &[NotFound], routes!(queues::pause::pause)))
        .routes(route(Admin, &[NotFound], routes!(queues::resume::resume)))
        .routes(route(JobsRead, &[], routes!(workers::list::list)))
        .routes(route(JobsRead, &[NotFound], routes!(workers::show::show)))
        .routes(route(Admin, &[NotFound, InvalidState], routes!(workers::remove::remove)))
        .routes(route(JobsRead, &[], routes!(schedules::list::list)))
        .routes(route(JobsRead, &[NotFound], routes!(schedules::show::show)))
        .routes(route(Admin, &[], routes!(schedules::put::put)))
        .routes(route(Admin, &[NotFound], routes!(schedules::delete::delete)))
        .routes(route(Admin, &[], routes!(keys::list::list)))
        .routes(route(Admin, &[], routes!(keys::create::create)))
        .routes(route(Admin, &[NotFound], routes!(keys::revoke::revoke)))
        .routes(route(Admin, &[NotFound, InvalidState], routes!(keys::rotate::rotate)));
    let document = router.get_openapi_mut();
    document.components.as_mut().map(::jobs::schema_of_each_type);
    openapi::refuse_unknown_fields(document, &["Requirements"]);
    router
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use serde_json::Value;

    use super::*;

    const SNAPSHOT: &str = "openapi.json";
    /// Set to write the snapshot again.
    const UPDATE: &str = "COWRIESTREAM_UPDATE_SNAPSHOTS";

    fn document() -> Value {
        let document = openapi::document("cowriestream coordinator", DESCRIPTION);
        let routes = OpenApiRouter::with_openapi(document).merge(routes());
        serde_json::to_value(routes.into_openapi()).unwrap()
    }

    fn operations(document: &Value) -> Vec<(String, &Value)> {
        let paths = document["paths"].as_object().unwrap().iter();
        let all = paths.flat_map(|(path, item)| {
            let item = item.as_object().unwrap().iter();
            item.map(move |(method, operation)| (format!("{method} {path}"), operation))
        });
        all.collect()
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
        for (name, operation) in operations(&document) {
            let id = operation["operationId"].as_str().unwrap_or_default();
            assert!(ids.insert(id.to_owned()) && !id.is_empty(), "{name}: operationId {id:?}");
            assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{name}");
            assert!(operation["security"][0]["api_key"][0].is_string(), "{name}");
            for (status, response) in operation["responses"].as_object().unwrap() {
                let description = response["description"].as_str().unwrap_or_default();
                assert!(!description.is_empty(), "{name} {status}");
                let kind = response["content"].as_object().and_then(|content| content.keys().next());
                let expected = match status.as_str() {
                    "204" => None,
                    "200" if name.ends_with("/events") => Some("text/event-stream"),
                    "200" | "201" => Some("application/json"),
                    _ => Some("application/problem+json"),
                };
                assert_eq!(kind.map(String::as_str), expected, "{name} {status}");
            }
        }
        assert_eq!(ids.len(), 23);
    }

    #[test]
    fn requests_and_jobs_have_a_schema_for_each_type() {
        let document = document();
        let schemas = &document["components"]["schemas"];
        for name in ["JobRequest", "ScheduledJobRequest", "Job"] {
            assert_eq!(schemas[name]["discriminator"]["propertyName"], "job_type", "{name}");
            assert_eq!(schemas[name]["oneOf"].as_array().unwrap().len(), ::jobs::TYPES.len());
            for (job_type, variant) in schemas[name]["discriminator"]["mapping"].as_object().unwrap() {
                let schema = document.pointer(variant.as_str().unwrap().trim_start_matches('#')).unwrap();
                assert_eq!(schema["properties"]["job_type"]["enum"], serde_json::json!([job_type]));
                let parameters = schema["properties"]["parameters"]["$ref"].as_str().unwrap();
                assert!(document.pointer(parameters.trim_start_matches('#')).is_some(), "{parameters}");
            }
        }
        // An answer has every field; a value that may be absent is null.
        let job = &schemas["ReportJob"];
        let all = job["properties"].as_object().unwrap();
        assert_eq!(job["required"].as_array().unwrap().len(), all.len());
        for field in ["not_before", "deadline", "idempotency_key", "unique_key", "schedule"] {
            assert!(all[field]["type"].as_array().unwrap().contains(&"null".into()), "{field}");
        }
        let scheduled = schemas["ReportScheduledJobRequest"]["properties"].as_object().unwrap();
        assert!(!scheduled.contains_key("not_before") && scheduled.contains_key("unique_key"));
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
}
