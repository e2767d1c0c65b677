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

/// Show a target (host:port) that was to be reached through the honeypot, and what is related to it
#[utoipa::path(
    get,
    path = "/api/v1/forwards/{target}",
    operation_id = "get_forward",
    tag = "things",
    params(("target" = String, Path, example = "example.org:443"), RangeParams, StepParams),
    responses((status = 200, description = "What it did in the range, and what is related to it", body = Thing))
)]
pub(in crate::rest) async fn forwards(
    State(api): State<Api>,
    Extension(who): Extension<Principal>,
    Path(key): Path<String>,
    query: Query,
) -> Result<Json<Thing>, Problem> {
    let (span, step) = query.read(|params| (read_span(params), read_step(params)))?;
    let over = over(&who, span, Vec::new())?;
    api.thing(&who, Kind::Forward, &key, &over, step.map(Age::seconds)).await.map(Json)
}
