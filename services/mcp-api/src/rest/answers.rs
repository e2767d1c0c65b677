//! What every answer gets: who answered and how fresh it is, an entity tag, and 304 for what the client has.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use web::axum::{
    body::{Body, HttpBody as _, to_bytes},
    extract::{Request, State},
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::Api;

/// `primary` or `replica`.
const ANSWERED_BY: HeaderName = HeaderName::from_static("x-answered-by");
/// Milliseconds that who answered is behind the primary.
const LAG_MS: HeaderName = HeaderName::from_static("x-replica-lag-ms");

/// Adds the headers to answers to GET, and answers 304 when the client has the same already.
pub(super) async fn finish(State(api): State<Api>, request: Request, next: Next) -> Response {
    let reading = request.method() == Method::GET;
    let known = request.headers().get(header::IF_NONE_MATCH).cloned();
    let (by, lag) = if reading { api.answers_from() } else { ("primary", 0) };
    let response = next.run(request).await;
    if !response.status().is_success() {
        return response;
    }
    let mut response = if reading { tagged(response, known.as_ref()).await } else { response };
    let headers = response.headers_mut();
    headers.insert(ANSWERED_BY, HeaderValue::from_static(by));
    headers.insert(LAG_MS, HeaderValue::from(lag));
    // Passwords and the like must not lie in a shared cache.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    response
}

/// Answers of known length are tagged; a stream is not.
async fn tagged(response: Response, known: Option<&HeaderValue>) -> Response {
    let Some(length) = response.body().size_hint().exact() else { return response };
    let (mut parts, body) = response.into_parts();
    let Ok(bytes) = to_bytes(body, usize::try_from(length).unwrap_or(usize::MAX)).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    let tag = format!("W/\"{:016x}\"", hasher.finish());
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        parts.headers.insert(header::ETAG, tag);
    }
    let has = known.and_then(|known| known.to_str().ok()).is_some_and(|known| {
        known
            .split(',')
            .map(str::trim)
            .any(|one| one == "*" || one.trim_start_matches("W/") == tag.trim_start_matches("W/"))
    });
    if !has {
        return Response::from_parts(parts, bytes.into());
    }
    parts.status = StatusCode::NOT_MODIFIED;
    parts.headers.remove(header::CONTENT_TYPE);
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::empty())
}
