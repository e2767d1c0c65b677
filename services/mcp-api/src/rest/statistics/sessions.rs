use web::{
    Principal, Problem, Query,
    axum::{Extension, Json, extract::State},
};

use crate::{
    Api,
    range::{RangeParams, SensorParams, over, read_sensors, read_span},
    statistics::sessions::SessionStatistics,
};

/// Show what the sessions add up to that began in a range
#[utoipa::path(
    get,
    path = "/api/v1/statistics/sessions",
    operation_id = "get_session_statistics",
    tag = "statistics",
    params(RangeParams, SensorParams),
    responses((status = 200, description = "The figures", body = SessionStatistics))
)]
pub(in crate::rest) async fn sessions(
    State(api): State<Api>,
    Extension(who): Extension<Principal>,
    query: Query,
) -> Result<Json<SessionStatistics>, Problem> {
    let (span, sensors) = query.read(|params| (read_span(params), read_sensors(params)))?;
    api.session_statistics(&over(&who, span, sensors)?).await.map(Json)
}
