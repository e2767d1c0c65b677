use access::KeyView;
use web::{
    NoQuery, Principal, Problem,
    axum::{
        Extension, Json,
        extract::{Path, State},
    },
};

use crate::service::Service;

/// Revoke an API key
///
/// Within 5 s no process accepts it any more. It stays in the list. Safe to repeat.
#[utoipa::path(
    delete,
    path = "/api/v1/keys/{id}",
    operation_id = "revoke_key",
    tag = "keys",
    params(("id" = String, Path, pattern = "^[A-Za-z0-9]{8}$")),
    responses((status = 200, description = "Revoked", body = KeyView))
)]
pub(in crate::rest) async fn revoke(
    State(service): State<Service>,
    Extension(principal): Extension<Principal>,
    Path(id): Path<String>,
    _: NoQuery,
) -> Result<Json<KeyView>, Problem> {
    service.revoke_key(&id, &principal).await.map(Json)
}
