use jobs::views::QueuePaused;
use web::{
    NoQuery, Problem,
    axum::{
        Json,
        extract::{Path, State},
    },
};

use crate::service::Service;

/// Start no more jobs of a queue; those that run go on
#[utoipa::path(
    post,
    path = "/api/v1/queues/{queue}/pause",
    operation_id = "pause_queue",
    tag = "queues",
    params(("queue" = String, Path, pattern = "^[A-Za-z0-9_-]{1,64}$")),
    responses((status = 200, description = "Paused", body = QueuePaused))
)]
pub(in crate::rest) async fn pause(
    State(service): State<Service>,
    Path(queue): Path<String>,
    _: NoQuery,
) -> Result<Json<QueuePaused>, Problem> {
    service.pause(&queue, true).await?;
    Ok(Json(QueuePaused { queue, paused: true }))
}
