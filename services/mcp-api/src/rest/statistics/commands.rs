use web::{
    Principal, Problem, Query,
    axum::{Extension, Json, extract::State},
};

use crate::{
    Api,
    range::{LimitParams, RangeParams, SensorParams, over, read_limit, read_sensors, read_span},
    statistics::commands::Commands,
};

/// Show the commands that were typed most, normalised
#[utoipa::path(
    get,
    path = "/api/v1/statistics/commands",
    operation_id = "get_command_statistics",
    tag = "statistics",
    params(RangeParams, SensorParams, LimitParams),
    responses((status = 200, description = "The commands", body = Commands))
)]
pub(in crate::rest) async fn commands(
    State(api): State<Api>,
    Extension(who): Extension<Principal>,
    query: Query,
) -> Result<Json<Commands>, Problem> {
    let (span, sensors, limit) =
        query.read(|params| (read_span(params), read_sensors(params), read_limit(params)))?;
    let over = over(&who, span, sensors)?;
    api.commands(&over, limit).await.map(Json)
}
