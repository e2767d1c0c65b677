use web::{
    Principal, Problem, Query,
    axum::{
        Extension, Json,
        extract::{Path, State},
    },
};

use crate::{
    Api,
    features::WindowFeatures,
    range::{RangeParams, over, read_span},
};

/// Show what a range holds for a key of a dimension
///
/// Dimensions: all, sensor, eventid, src_ip, src_net, username, password, credential, hassh, client_version,
/// command, download, forward.
#[utoipa::path(
    get,
    path = "/api/v1/features/{dimension}/{key}",
    operation_id = "get_features",
    tag = "things",
    params(
        ("dimension" = String, Path, pattern = "^[a-z_]{1,20}$", example = "src_ip"),
        ("key" = String, Path, example = "203.0.113.7"),
        RangeParams,
    ),
    responses((status = 200, description = "The figures of the range", body = WindowFeatures))
)]
pub(in crate::rest) async fn features(
    State(api): State<Api>,
    Extension(who): Extension<Principal>,
    Path((dimension, key)): Path<(String, String)>,
    query: Query,
) -> Result<Json<WindowFeatures>, Problem> {
    let span = query.read(read_span)?;
    api.features(&who, &dimension, &key, &over(&who, span, Vec::new())?).await.map(Json)
}
