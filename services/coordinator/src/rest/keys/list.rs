use web::{
    Page, Problem, Query,
    axum::{Json, extract::State},
};

use crate::{keys::KeyList, service::Service};

/// List API keys
///
/// Also those that were revoked or have expired; without their secrets, which are not stored.
#[utoipa::path(
    get,
    path = "/api/v1/keys",
    operation_id = "list_keys",
    tag = "keys",
    params(Page),
    responses((status = 200, description = "A page of keys, by their ids", body = KeyList))
)]
pub(in crate::rest) async fn list(
    State(service): State<Service>,
    query: Query,
) -> Result<Json<KeyList>, Problem> {
    let page = query.read(Page::read)?;
    service.keys(&page).await.map(Json)
}
