use jobs::views::Queue;
use web::{
    NoQuery, Problem,
    axum::{
        Json,
        extract::{Path, State},
    },
};

use crate::service::Service;

/// Show a queue
#[utoipa::path(
    get,
    path = "/api/v1/queues/{queue}",
    operation_id = "get_queue",
    tag = "queues",
    params(("queue" = String, Path, pattern = "^[A-Za-z0-9_-]{1,64}$")),
    responses((status = 200, description = "The queue", body = Queue))
)]
pub(in crate::rest) async fn show(
    State(service): State<Service>,
    Path(queue): Path<String>,
    _: NoQuery,
) -> Result<Json<Queue>, Problem> {
    service.queue(&queue).await.map(Json)
}
