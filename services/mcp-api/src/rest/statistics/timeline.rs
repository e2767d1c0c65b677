use fields::Age;
use web::{
    Principal, Problem, Query,
    axum::{Extension, Json, extract::State},
};

use crate::{
    Api,
    range::{RangeParams, SensorParams, StepParams, over, read_sensors, read_span, read_step},
    statistics::timeline::Timeline,
};

/// Show figures of a range step by step, for charts
#[utoipa::path(
    get,
    path = "/api/v1/statistics/timeline",
    operation_id = "get_timeline",
    tag = "statistics",
    params(RangeParams, SensorParams, StepParams),
    responses((status = 200, description = "The figures of each step", body = Timeline))
)]
pub(in crate::rest) async fn timeline(
    State(api): State<Api>,
    Extension(who): Extension<Principal>,
    query: Query,
) -> Result<Json<Timeline>, Problem> {
    let (span, sensors, step) =
        query.read(|params| (read_span(params), read_sensors(params), read_step(params)))?;
    api.timeline(&over(&who, span, sensors)?, step.map(Age::seconds)).await.map(Json)
}
