//! Schemas of requests and jobs, for the OpenAPI document. What reads requests is in `request.rs` and
//! `types.rs`.

#![allow(unused_qualifications, reason = "the derive of ToSchema writes them")]

use chrono::{DateTime, Utc};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        Components, Ref, RefOr,
        schema::{AdditionalProperties, Discriminator, Object, ObjectBuilder, OneOfBuilder, Schema, Type},
    },
};

use crate::{Requirements, TYPES, json_schema};

/// A job to run
#[derive(ToSchema)]
#[allow(dead_code, reason = "only its schema is used: a request is read field by field")]
pub struct JobRequest {
    job_type: String,
    #[schema(value_type = Option<Object>)]
    parameters: Option<()>,
    /// 1 (last) to 10 (first)
    #[schema(minimum = 1, maximum = 10, default = 5)]
    priority: Option<i16>,
    /// Of one attempt
    #[schema(minimum = 1, maximum = 604800, default = 3600)]
    timeout_seconds: Option<i32>,
    #[schema(minimum = 1, maximum = 100, default = 3)]
    max_attempts: Option<i32>,
    requirements: Option<Requirements>,
    /// Another queue than the type's own
    #[schema(pattern = "^[A-Za-z0-9_-]{1,64}$")]
    queue: Option<String>,
    /// It does not start before this time; at most a year ahead
    not_before: Option<DateTime<Utc>>,
    /// It is given up when it has not started by this time
    deadline: Option<DateTime<Utc>>,
    /// The same key again returns the job of the first time; another request with it is refused
    #[schema(max_length = 200)]
    idempotency_key: Option<String>,
    /// While a job with this key waits or runs, that job is returned
    #[schema(max_length = 200)]
    unique_key: Option<String>,
}

/// The request of a schedule's job: a [`JobRequest`] without times and idempotency key, which each firing
/// sets.
pub struct ScheduledJobRequest;

impl ToSchema for ScheduledJobRequest {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        JobRequest::schemas(schemas);
    }
}

impl PartialSchema for ScheduledJobRequest {
    fn schema() -> RefOr<Schema> {
        let mut schema = JobRequest::schema();
        if let RefOr::T(Schema::Object(object)) = &mut schema {
            object.description =
                Some("The job of a schedule: times and idempotency key are set at each firing".to_owned());
            for name in ["not_before", "deadline", "idempotency_key"] {
                object.properties.remove(name);
            }
            if let Some(RefOr::T(Schema::Object(key))) = object.properties.get_mut("unique_key") {
                key.description =
                    Some("While a job with this key waits or runs, no further one is made".to_owned());
            }
        }
        schema
    }
}

/// The schemas that hold a job type and its parameters, and whether they are requests.
const OF_A_TYPE: [(&str, bool); 3] = [("JobRequest", true), ("ScheduledJobRequest", true), ("Job", false)];

/// Replaces each schema that holds a job type by one schema per type, distinguished by `job_type`.
pub fn schema_of_each_type(components: &mut Components) {
    for job_type in &TYPES {
        for (name, schema) in
            [("Parameters", json_schema::parameters(job_type)), ("Result", (job_type.result)())]
        {
            if let Ok(schema) = serde_json::from_value::<Schema>(schema) {
                components.schemas.insert(format!("{}{name}", pascal(job_type.name)), schema.into());
            }
        }
    }
    for (name, is_request) in OF_A_TYPE {
        let Some(RefOr::T(Schema::Object(base))) = components.schemas.get(name).cloned() else { continue };
        let variant = |job_type: &str| format!("{}{name}", pascal(job_type));
        let names = TYPES.each_ref().map(|job_type| job_type.name);
        let mapping = names.map(|name| (name.to_owned(), Ref::from_schema_name(variant(name)).ref_location));
        let one_of = OneOfBuilder::new()
            .description(base.description.clone())
            .discriminator(Some(Discriminator::with_mapping("job_type", mapping)));
        let one_of = names.iter().fold(one_of, |one_of, job_type| {
            components.schemas.insert(variant(job_type), of_type(base.clone(), job_type, is_request).into());
            one_of.item(Ref::from_schema_name(variant(job_type)))
        });
        components.schemas.insert(name.to_owned(), Schema::from(one_of.build()).into());
    }
}

fn of_type(mut object: Object, job_type: &str, is_request: bool) -> Schema {
    let own = |name: &str| Ref::from_schema_name(format!("{}{name}", pascal(job_type)));
    let name = ObjectBuilder::new().schema_type(Type::String).enum_values(Some([job_type])).build();
    object.properties.insert("job_type".to_owned(), Schema::from(name).into());
    object.properties.insert("parameters".to_owned(), own("Parameters").into());
    if is_request {
        object.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
    } else {
        let null = ObjectBuilder::new().schema_type(Type::Null).build();
        let result = OneOfBuilder::new()
            .item(null)
            .item(own("Result"))
            .description(Some("What it returned, when it is completed; null in lists"));
        object.properties.insert("result".to_owned(), Schema::from(result.build()).into());
    }
    object.into()
}

/// `longtail_analysis` as `LongtailAnalysis`.
fn pascal(job_type: &str) -> String {
    let words = job_type.split('_').map(|word| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_uppercase() + rest
    });
    words.collect()
}
