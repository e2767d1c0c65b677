use web::{
    Principal, Problem, Query,
    axum::{Extension, Json, extract::State},
};

use crate::{
    Api,
    range::{LimitParams, RangeParams, SensorParams, over, read_limit, read_sensors, read_span},
    statistics::threats::Threats,
};

/// Show who attacks, with what, and how much was found about it
#[utoipa::path(
    get,
    path = "/api/v1/statistics/threats",
    operation_id = "get_threats",
    tag = "statistics",
    params(RangeParams, SensorParams, LimitParams),
    responses((status = 200, description = "The top sources and clients", body = Threats))
)]
pub(in crate::rest) async fn threats(
    State(api): State<Api>,
    Extension(who): Extension<Principal>,
    query: Query,
) -> Result<Json<Threats>, Problem> {
    let (span, sensors, limit) =
        query.read(|params| (read_span(params), read_sensors(params), read_limit(params)))?;
    let over = over(&who, span, sensors)?;
    api.threats(&over, limit).await.map(Json)
}
