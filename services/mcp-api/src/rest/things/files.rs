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

/// Show a file by its SHA-256: where, when, and what is related to it
#[utoipa::path(
    get,
    path = "/api/v1/files/{sha256}",
    operation_id = "get_file",
    tag = "things",
    params(("sha256" = String, Path, example = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), RangeParams, StepParams),
    responses((status = 200, description = "What it did in the range, and what is related to it", body = Thing))
)]
pub(in crate::rest) async fn files(
    State(api): State<Api>,
    Extension(who): Extension<Principal>,
    Path(key): Path<String>,
    query: Query,
) -> Result<Json<Thing>, Problem> {
    let (span, step) = query.read(|params| (read_span(params), read_step(params)))?;
    let over = over(&who, span, Vec::new())?;
    api.thing(&who, Kind::File, &key, &over, step.map(Age::seconds)).await.map(Json)
}
