use jobs::views::QueueList;
use web::{
    Page, Problem, Query,
    axum::{Json, extract::State},
};

use crate::service::Service;

/// List queues, by name
///
/// The queues of the known job types, and every queue that has jobs, is served, paused or exclusive.
#[utoipa::path(
    get,
    path = "/api/v1/queues",
    operation_id = "list_queues",
    tag = "queues",
    params(Page),
    responses((status = 200, description = "A page of queues", body = QueueList))
)]
pub(in crate::rest) async fn list(
    State(service): State<Service>,
    query: Query,
) -> Result<Json<QueueList>, Problem> {
    service.queues(&query.read(Page::read)?).await.map(Json)
}
