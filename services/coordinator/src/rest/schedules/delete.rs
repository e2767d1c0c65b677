use web::{
    NoQuery, Problem,
    axum::{
        extract::{Path, State},
        http::StatusCode,
    },
};

use crate::service::Service;

/// Delete a schedule; jobs that it made stay
#[utoipa::path(
    delete,
    path = "/api/v1/schedules/{name}",
    operation_id = "delete_schedule",
    tag = "schedules",
    params(("name" = String, Path, pattern = "^[A-Za-z0-9_-]{1,64}$")),
    responses((status = 204, description = "Deleted"))
)]
pub(in crate::rest) async fn delete(
    State(service): State<Service>,
    Path(name): Path<String>,
    _: NoQuery,
) -> Result<StatusCode, Problem> {
    service.delete_schedule(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}
