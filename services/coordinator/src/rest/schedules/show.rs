use jobs::views::Schedule;
use web::{
    NoQuery, Problem,
    axum::{
        Json,
        extract::{Path, State},
    },
};

use crate::service::Service;

/// Show a schedule
#[utoipa::path(
    get,
    path = "/api/v1/schedules/{name}",
    operation_id = "get_schedule",
    tag = "schedules",
    params(("name" = String, Path, pattern = "^[A-Za-z0-9_-]{1,64}$")),
    responses((status = 200, description = "The schedule; it may be sent back with PUT", body = Schedule))
)]
pub(in crate::rest) async fn show(
    State(service): State<Service>,
    Path(name): Path<String>,
    _: NoQuery,
) -> Result<Json<Schedule>, Problem> {
    service.schedule(&name).await.map(Json)
}
