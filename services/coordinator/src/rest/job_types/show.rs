use jobs::views::JobTypeSchema;
use web::{
    NoQuery, Problem,
    axum::{Json, extract::Path},
};

use crate::service;

/// Show a type of job: JSON Schemas of its parameters and of its result
#[utoipa::path(
    get,
    path = "/api/v1/job-types/{job_type}",
    operation_id = "get_job_type",
    tag = "jobs",
    params(("job_type" = String, Path, pattern = "^[A-Za-z0-9_-]{1,64}$")),
    responses((status = 200, description = "The type", body = JobTypeSchema))
)]
pub(in crate::rest) async fn show(
    Path(job_type): Path<String>,
    _: NoQuery,
) -> Result<Json<JobTypeSchema>, Problem> {
    service::job_type(&job_type).map(Json)
}
