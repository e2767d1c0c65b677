use jobs::views::QueuePaused;
use web::{
    NoQuery, Problem,
    axum::{
        Json,
        extract::{Path, State},
    },
};

use crate::service::Service;

/// Start jobs of a queue again
#[utoipa::path(
    post,
    path = "/api/v1/queues/{queue}/resume",
    operation_id = "resume_queue",
    tag = "queues",
    params(("queue" = String, Path, pattern = "^[A-Za-z0-9_-]{1,64}$")),
    responses((status = 200, description = "Resumed", body = QueuePaused))
)]
pub(in crate::rest) async fn resume(
    State(service): State<Service>,
    Path(queue): Path<String>,
    _: NoQuery,
) -> Result<Json<QueuePaused>, Problem> {
    service.pause(&queue, false).await?;
    Ok(Json(QueuePaused { queue, paused: false }))
}
