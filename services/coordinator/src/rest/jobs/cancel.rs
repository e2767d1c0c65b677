use ::jobs::Status;
use web::{
    NoQuery, Problem,
    axum::{
        Json,
        extract::{Path, State},
    },
};

use crate::service::Service;

/// Cancel a job: at once when it waits, within a second when it runs
#[utoipa::path(
    post,
    path = "/api/v1/jobs/{id}/cancel",
    operation_id = "cancel_job",
    tag = "jobs",
    params(("id" = Uuid, Path)),
    responses((status = 200, description = "Its status; a running job may need a moment", body = Status))
)]
pub(in crate::rest) async fn cancel(
    State(service): State<Service>,
    Path(id): Path<String>,
    _: NoQuery,
) -> Result<Json<Status>, Problem> {
    service.cancel(&id).await.map(Json)
}
