use fields::Age;
use web::{
    Principal, Problem, Query,
    axum::{
        Extension, Json,
        extract::{Path, State},
    },
};

use crate::{
    Api,
    range::{RangeParams, StepParams, over, read_span, read_step},
    things::{Kind, Thing},
};

/// Show a network (/24, /48; the slash as %2F): what it did, and what is related to it
#[utoipa::path(
    get,
    path = "/api/v1/networks/{network}",
    operation_id = "get_network",
    tag = "things",
    params(("network" = String, Path, example = "203.0.113.0%2F24"), RangeParams, StepParams),
    responses((status = 200, description = "What it did in the range, and what is related to it", body = Thing))
)]
pub(in crate::rest) async fn networks(
    State(api): State<Api>,
    Extension(who): Extension<Principal>,
    Path(key): Path<String>,
    query: Query,
) -> Result<Json<Thing>, Problem> {
    let (span, step) = query.read(|params| (read_span(params), read_step(params)))?;
    let over = over(&who, span, Vec::new())?;
    api.thing(&who, Kind::Network, &key, &over, step.map(Age::seconds)).await.map(Json)
}
