use ::jobs::views::JobDetail;
use web::{
    NoQuery, Problem,
    axum::{
        Json,
        extract::{Path, State},
    },
};

use crate::service::Service;

/// Show a job: its status, its result, who could run it and why it waits
#[utoipa::path(
    get,
    path = "/api/v1/jobs/{id}",
    operation_id = "get_job",
    tag = "jobs",
    params(("id" = Uuid, Path)),
    responses((status = 200, description = "The job", body = JobDetail))
)]
pub(in crate::rest) async fn show(
    State(service): State<Service>,
    Path(id): Path<String>,
    _: NoQuery,
) -> Result<Json<JobDetail>, Problem> {
    service.job(&id).await.map(Json)
}
