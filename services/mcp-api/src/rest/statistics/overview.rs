use web::{
    Principal, Problem, Query,
    axum::{Extension, Json, extract::State},
};

use crate::{
    Api,
    range::{RangeParams, SensorParams, over, read_sensors, read_span},
    statistics::overview::Overview,
};

/// Show what happened in a range: events, sessions, logins, commands, downloads, distinct sources
#[utoipa::path(
    get,
    path = "/api/v1/statistics/overview",
    operation_id = "get_overview",
    tag = "statistics",
    params(RangeParams, SensorParams),
    responses((status = 200, description = "The figures of the range", body = Overview))
)]
pub(in crate::rest) async fn overview(
    State(api): State<Api>,
    Extension(who): Extension<Principal>,
    query: Query,
) -> Result<Json<Overview>, Problem> {
    let (span, sensors) = query.read(|params| (read_span(params), read_sensors(params)))?;
    api.overview(&over(&who, span, sensors)?).await.map(Json)
}
