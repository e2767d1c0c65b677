use jobs::views::WorkerList;
use web::{
    Page, Problem, Query,
    axum::{Json, extract::State},
};

use crate::service::Service;

/// List workers that were seen within a day, and which live ones take the jobs of each queue
#[utoipa::path(
    get,
    path = "/api/v1/workers",
    operation_id = "list_workers",
    tag = "workers",
    params(Page),
    responses((status = 200, description = "A page of workers, by name", body = WorkerList))
)]
pub(in crate::rest) async fn list(
    State(service): State<Service>,
    query: Query,
) -> Result<Json<WorkerList>, Problem> {
    service.workers(&query.read(Page::read)?).await.map(Json)
}
