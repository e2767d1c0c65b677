use ::jobs::Status;
use web::{
    NoQuery, Problem,
    axum::{
        Json,
        extract::{Path, State},
    },
};

use crate::service::Service;

/// Run a failed or cancelled job again, from its last checkpoint
#[utoipa::path(
    post,
    path = "/api/v1/jobs/{id}/retry",
    operation_id = "retry_job",
    tag = "jobs",
    params(("id" = Uuid, Path)),
    responses((status = 200, description = "Its status: queued again", body = Status))
)]
pub(in crate::rest) async fn retry(
    State(service): State<Service>,
    Path(id): Path<String>,
    _: NoQuery,
) -> Result<Json<Status>, Problem> {
    service.retry(&id).await.map(Json)
}
