use jobs::views::JobTypeList;
use web::{Page, Problem, Query, axum::Json};

use crate::service;

/// List the types of jobs, by name
#[utoipa::path(
    get,
    path = "/api/v1/job-types",
    operation_id = "list_job_types",
    tag = "jobs",
    params(Page),
    responses((status = 200, description = "A page of job types", body = JobTypeList))
)]
pub(in crate::rest) async fn list(query: Query) -> Result<Json<JobTypeList>, Problem> {
    Ok(Json(service::job_types(&query.read(Page::read)?)))
}
