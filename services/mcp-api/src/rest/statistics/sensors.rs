use web::{
    Page, Principal, Problem, Query,
    axum::{Extension, Json, extract::State},
};

use crate::{
    Api,
    range::{RangeParams, SensorParams, over, read_sensors, read_span},
    statistics::sensors::SensorList,
};

/// List sensors, each with its figures of a range
#[utoipa::path(
    get,
    path = "/api/v1/statistics/sensors",
    operation_id = "list_sensors",
    tag = "statistics",
    params(RangeParams, SensorParams, Page),
    responses((status = 200, description = "A page of sensors", body = SensorList))
)]
pub(in crate::rest) async fn sensors(
    State(api): State<Api>,
    Extension(who): Extension<Principal>,
    query: Query,
) -> Result<Json<SensorList>, Problem> {
    let (span, sensors, page) =
        query.read(|params| (read_span(params), read_sensors(params), Page::read(params)))?;
    api.sensors(&over(&who, span, sensors)?, &page).await.map(Json)
}
