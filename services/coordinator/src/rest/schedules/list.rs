use jobs::views::ScheduleList;
use web::{
    Page, Problem, Query,
    axum::{Json, extract::State},
};

use crate::service::Service;

/// List schedules, by name
#[utoipa::path(
    get,
    path = "/api/v1/schedules",
    operation_id = "list_schedules",
    tag = "schedules",
    params(Page),
    responses((status = 200, description = "A page of schedules", body = ScheduleList))
)]
pub(in crate::rest) async fn list(
    State(service): State<Service>,
    query: Query,
) -> Result<Json<ScheduleList>, Problem> {
    service.schedules(&query.read(Page::read)?).await.map(Json)
}
