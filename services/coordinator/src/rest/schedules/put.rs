use fields::Fields;
use jobs::{JobRequest, views::Schedule};
use serde_json::Value;
use utoipa::ToSchema;
use web::{
    Body, NoQuery, Problem,
    axum::{
        Json,
        extract::{Path, State},
    },
};

use crate::service::Service;

/// Longest cron expression.
const LONGEST_CRON: usize = 100;

/// A schedule to store. The fields that the server sets are ignored, so that the answer of GET may be sent back
#[derive(PartialEq, Debug, ToSchema)]
#[schema(as = ScheduleRequest)]
pub(in crate::rest) struct Request {
    /// Five fields, or six with seconds first, in UTC
    #[schema(max_length = 100)]
    cron: String,
    /// The job; without not_before, deadline and idempotency_key
    #[schema(value_type = JobRequest)]
    job: Value,
    /// Whether each missed firing is made up for
    #[schema(required = false, default = false)]
    catch_up: bool,
}

impl Request {
    fn read(fields: &mut Fields<'_>, name: &str) -> Self {
        if fields.text("name", 64).is_some_and(|given| given != name) {
            fields.wrong("name", format!("differs from the name in the path, {name}"));
        }
        for set_by_server in ["from_file", "next_at", "last_at", "error"] {
            fields.take(set_by_server);
        }
        Self {
            cron: fields.text("cron", LONGEST_CRON).unwrap_or_default(),
            job: fields.take("job").unwrap_or_default(),
            catch_up: fields.flag("catch_up", false),
        }
    }
}

/// Create or replace a schedule
#[utoipa::path(
    put,
    path = "/api/v1/schedules/{name}",
    operation_id = "put_schedule",
    tag = "schedules",
    params(("name" = String, Path, pattern = "^[A-Za-z0-9_-]{1,64}$")),
    request_body = Request,
    responses((status = 200, description = "The schedule as it is stored", body = Schedule))
)]
pub(in crate::rest) async fn put(
    State(service): State<Service>,
    Path(name): Path<String>,
    _: NoQuery,
    body: Body,
) -> Result<Json<Schedule>, Problem> {
    let Request { cron, job, catch_up } = body.read(|fields| Request::read(fields, &name))?;
    service.put_schedule(name, cron, job, catch_up).await.map(Json)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_answer_of_get_may_be_sent_back() {
        let schedule = json!({
            "name": "s", "cron": "0 6 * * 1", "job": {"job_type": "report"}, "catch_up": true, "from_file": false,
            "next_at": "2026-11-30T06:00:00Z", "last_at": null, "error": null,
        });
        let read = Body(schedule.clone()).read(|fields| Request::read(fields, "s"));
        let expected =
            Request { cron: "0 6 * * 1".into(), job: json!({"job_type": "report"}), catch_up: true };
        assert_eq!(read, Ok(expected));
        assert!(Body(schedule).read(|fields| Request::read(fields, "other")).is_err());
    }

    #[test]
    fn every_wrong_field_is_named() {
        let body = json!({"cron": 7, "catch_up": "yes", "colour": "red"});
        let problem = Body(body).read(|fields| Request::read(fields, "s")).unwrap_err();
        let fields: Vec<_> = problem.errors.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(fields, ["cron", "catch_up", "colour"]);
    }
}
