use web::{
    Principal, Problem, Query,
    axum::{Extension, Json, extract::State},
};

use crate::{
    Api,
    range::{LimitParams, RangeParams, SensorParams, over, read_limit, read_sensors, read_span},
    statistics::credentials::Credentials,
};

/// Show the user names, passwords and credentials that were tried most
#[utoipa::path(
    get,
    path = "/api/v1/statistics/credentials",
    operation_id = "get_credential_statistics",
    tag = "statistics",
    params(RangeParams, SensorParams, LimitParams),
    responses((status = 200, description = "The credentials", body = Credentials))
)]
pub(in crate::rest) async fn credentials(
    State(api): State<Api>,
    Extension(who): Extension<Principal>,
    query: Query,
) -> Result<Json<Credentials>, Problem> {
    let (span, sensors, limit) =
        query.read(|params| (read_span(params), read_sensors(params), read_limit(params)))?;
    let over = over(&who, span, sensors)?;
    api.credentials(&who, &over, limit).await.map(Json)
}
