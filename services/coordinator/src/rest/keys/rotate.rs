use access::Created;
use fields::Age;
use utoipa::ToSchema;
use web::{
    Body, NoQuery, Principal, Problem,
    axum::{
        Extension, Json,
        extract::{Path, State},
        http::{StatusCode, header},
        response::IntoResponse,
    },
};

use super::create::duration;
use crate::service::Service;

/// How long the old key stays valid, when the request does not say.
const OVERLAP: Age = Age::hours(24);

/// How to rotate
#[derive(ToSchema)]
#[allow(dead_code, reason = "only its schema is used: the fields are read one by one")]
pub(in crate::rest) struct RotationRequest {
    /// How long the old key stays valid: 90s, 30m, 24h, 7d, 4w
    #[schema(pattern = "^[0-9]+[smhdw]$", default = "24h")]
    overlap: Option<String>,
}

/// Replace an API key by one with another secret
///
/// The new key may do the same. Both are valid during the overlap; then the old one expires.
#[utoipa::path(
    post,
    path = "/api/v1/keys/{id}/rotate",
    operation_id = "rotate_key",
    tag = "keys",
    params(("id" = String, Path, pattern = "^[A-Za-z0-9]{8}$")),
    request_body = RotationRequest,
    responses((status = 201, description = "The new key", body = Created))
)]
pub(in crate::rest) async fn rotate(
    State(service): State<Service>,
    Extension(principal): Extension<Principal>,
    Path(id): Path<String>,
    _: NoQuery,
    body: Body,
) -> Result<impl IntoResponse, Problem> {
    let overlap = body.read(|fields| duration(fields, "overlap").unwrap_or(OVERLAP))?;
    let created = service.rotate_key(&id, overlap, &principal).await?;
    let never = [(header::CACHE_CONTROL, "no-store")];
    Ok((StatusCode::CREATED, never, Json(created)))
}
