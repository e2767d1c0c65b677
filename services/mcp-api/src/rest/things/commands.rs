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

/// Show a command, which is normalised: where, when, and what is related to it
#[utoipa::path(
    get,
    path = "/api/v1/commands/{command}",
    operation_id = "get_command",
    tag = "things",
    params(("command" = String, Path, example = "uname -a"), RangeParams, StepParams),
    responses((status = 200, description = "What it did in the range, and what is related to it", body = Thing))
)]
pub(in crate::rest) async fn commands(
    State(api): State<Api>,
    Extension(who): Extension<Principal>,
    Path(key): Path<String>,
    query: Query,
) -> Result<Json<Thing>, Problem> {
    let (span, step) = query.read(|params| (read_span(params), read_step(params)))?;
    let over = over(&who, span, Vec::new())?;
    api.thing(&who, Kind::Command, &key, &over, step.map(Age::seconds)).await.map(Json)
}
