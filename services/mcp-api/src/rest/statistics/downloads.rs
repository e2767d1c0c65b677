use web::{
    Principal, Problem, Query,
    axum::{Extension, Json, extract::State},
};

use crate::{
    Api,
    range::{LimitParams, RangeParams, SensorParams, over, read_limit, read_sensors, read_span},
    statistics::downloads::Downloads,
};

/// Show the files that came in most, and the URLs that they came from
#[utoipa::path(
    get,
    path = "/api/v1/statistics/downloads",
    operation_id = "get_download_statistics",
    tag = "statistics",
    params(RangeParams, SensorParams, LimitParams),
    responses((status = 200, description = "The files", body = Downloads))
)]
pub(in crate::rest) async fn downloads(
    State(api): State<Api>,
    Extension(who): Extension<Principal>,
    query: Query,
) -> Result<Json<Downloads>, Problem> {
    let (span, sensors, limit) =
        query.read(|params| (read_span(params), read_sensors(params), read_limit(params)))?;
    let over = over(&who, span, sensors)?;
    api.downloads(&over, limit).await.map(Json)
}
