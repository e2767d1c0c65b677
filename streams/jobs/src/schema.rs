//! Schemas of requests, for the OpenAPI document. What reads them is in `request.rs` and `kind.rs`.

use chrono::{DateTime, Utc};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        Ref, RefOr,
        schema::{AnyOfBuilder, Schema},
    },
};

use crate::{Campaigns, Diagnostic, Longtail, Report, Requirements};

/// A job to run
#[derive(ToSchema)]
#[allow(dead_code, reason = "only its schema is used: a request is read field by field")]
pub struct JobRequest {
    job_type: JobType,
    parameters: Option<Parameters>,
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

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[allow(dead_code, reason = "only its schema is used")]
pub enum JobType {
    Report,
    LongtailAnalysis,
    SnowshoeDetection,
    BotnetCoordination,
    Diagnostic,
}

/// The parameters of the job's type.
pub struct Parameters;

impl PartialSchema for Parameters {
    fn schema() -> RefOr<Schema> {
        [Report::name(), Longtail::name(), Campaigns::name(), Diagnostic::name()]
            .into_iter()
            .fold(AnyOfBuilder::new(), |any, name| any.item(Ref::from_schema_name(name)))
            .description(Some("The parameters of the job's type"))
            .into()
    }
}

impl ToSchema for Parameters {
    fn name() -> std::borrow::Cow<'static, str> {
        "Parameters".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        fn add<T: ToSchema>(schemas: &mut Vec<(String, RefOr<Schema>)>) {
            schemas.push((T::name().into_owned(), T::schema()));
            T::schemas(schemas);
        }
        add::<Report>(schemas);
        add::<Longtail>(schemas);
        add::<Campaigns>(schemas);
        add::<Diagnostic>(schemas);
    }
}

#[cfg(test)]
mod tests {
    use crate::TYPES;

    #[test]
    fn the_schema_names_every_job_type() {
        let schema = serde_json::to_value(<super::JobType as utoipa::PartialSchema>::schema()).unwrap();
        assert_eq!(schema["enum"], serde_json::json!(TYPES.map(|(name, _)| name)));
    }
}
