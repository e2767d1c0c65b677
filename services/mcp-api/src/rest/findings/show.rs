use web::{
    NoQuery, Principal, Problem,
    axum::{
        Extension, Json,
        extract::{Path, State},
    },
};

use crate::{Api, findings::show::FindingDetail};

/// Show a finding with its sessions and what was said about it
#[utoipa::path(
    get,
    path = "/api/v1/findings/{id}",
    operation_id = "get_finding",
    tag = "findings",
    params(("id" = Uuid, Path)),
    responses((status = 200, description = "The finding", body = FindingDetail))
)]
pub(in crate::rest) async fn show(
    State(api): State<Api>,
    Extension(who): Extension<Principal>,
    Path(id): Path<String>,
    _: NoQuery,
) -> Result<Json<FindingDetail>, Problem> {
    api.finding(&who, &id).await.map(Json)
}
