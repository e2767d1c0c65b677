//! Limits of one request: the length of its URI and headers, the type, size and arrival of its body, and the time
//! of its answer.

use std::time::Duration;

use axum::{
    body::{Bytes, HttpBody},
    extract::{FromRequest, Request},
    http::{HeaderMap, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::{Code, Problem};

/// Largest body.
pub(crate) const LARGEST_BODY: usize = 1 << 20;
/// Longest path with its query string.
const LONGEST_URI: usize = 8 << 10;
/// Most bytes of headers.
const LARGEST_HEADERS: usize = 32 << 10;
/// How long a client may take to send a body, when the listener does not say.
const BODY_LIMIT: Duration = Duration::from_secs(10);
/// How long an answer may take; a stream of events only has to begin by then.
const ANSWER_LIMIT: Duration = Duration::from_millis(9_500);

/// Reads the body and runs the handler, each in limited time.
pub(crate) async fn limit(request: Request, next: Next) -> Response {
    let request = match whole(request).await {
        Ok(request) => request,
        Err(problem) => return problem.into_response(),
    };
    match tokio::time::timeout(ANSWER_LIMIT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::unavailable(
            "no answer in time; what was asked for may still have been done: look before trying again",
        )
        .into_response(),
    }
}

/// The request with its whole body in memory.
async fn whole(request: Request) -> Result<Request, Problem> {
    let refuse = |code, detail: String| Err(Problem::new(code, detail));
    if let Some((code, detail)) = too_long(request.uri(), request.headers()) {
        return refuse(code, detail);
    }
    if !request.body().is_end_stream() && !is_json(request.headers()) {
        let detail = "expected a body with `Content-Type: application/json`".into();
        return refuse(Code::UnsupportedMediaType, detail);
    }
    let limit = request.extensions().get::<boot::Crowd>().map_or(BODY_LIMIT, boot::Crowd::patience);
    let (parts, body) = request.into_parts();
    let arriving = Bytes::from_request(Request::from_parts(parts.clone(), body), &());
    match tokio::time::timeout(limit, arriving).await {
        Ok(Ok(body)) => Ok(Request::from_parts(parts, body.into())),
        Ok(Err(rejection)) => match Code::of_status(rejection.status()) {
            Code::BodyTooLarge => refuse(Code::BodyTooLarge, format!("at most {LARGEST_BODY} bytes")),
            code => refuse(code, rejection.body_text()),
        },
        Err(_) => refuse(Code::Timeout, "the body did not arrive in time".into()),
    }
}

fn too_long(uri: &Uri, headers: &HeaderMap) -> Option<(Code, String)> {
    let length = uri.path_and_query().map_or(0, |text| text.as_str().len());
    if length > LONGEST_URI {
        return Some((Code::UriTooLong, format!("at most {LONGEST_URI} bytes")));
    }
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    (bytes > LARGEST_HEADERS)
        .then(|| (Code::HeadersTooLarge, format!("at most {LARGEST_HEADERS} bytes of headers")))
}

/// Whether there is one content type, and it is JSON.
fn is_json(headers: &HeaderMap) -> bool {
    let mut kinds = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(kind), None) = (kinds.next(), kinds.next()) else { return false };
    let kind = kind.to_str().unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}
