use web::{
    NoQuery, Problem,
    axum::{
        extract::{Path, State},
        http::StatusCode,
    },
};

use crate::service::Service;

/// Remove a dead worker; queues that were exclusive to it alone are open to every worker again
#[utoipa::path(
    delete,
    path = "/api/v1/workers/{name}",
    operation_id = "remove_worker",
    tag = "workers",
    params(("name" = String, Path, pattern = "^[A-Za-z0-9_-]{1,64}$")),
    responses((status = 204, description = "Removed"))
)]
pub(in crate::rest) async fn remove(
    State(service): State<Service>,
    Path(name): Path<String>,
    _: NoQuery,
) -> Result<StatusCode, Problem> {
    service.remove_worker(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}
