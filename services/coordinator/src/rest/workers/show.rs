use jobs::views::Worker;
use web::{
    NoQuery, Problem,
    axum::{
        Json,
        extract::{Path, State},
    },
};

use crate::service::Service;

/// Show a worker; of several starts of one name, the one with the last heartbeat
#[utoipa::path(
    get,
    path = "/api/v1/workers/{name}",
    operation_id = "get_worker",
    tag = "workers",
    params(("name" = String, Path, pattern = "^[A-Za-z0-9_-]{1,64}$")),
    responses((status = 200, description = "The worker", body = Worker))
)]
pub(in crate::rest) async fn show(
    State(service): State<Service>,
    Path(name): Path<String>,
    _: NoQuery,
) -> Result<Json<Worker>, Problem> {
    service.worker(&name).await.map(Json)
}
