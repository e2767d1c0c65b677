//! Around every request: its id, its line in the access log, and one form for every refusal.

use std::time::Instant;

use axum::{
    body::HttpBody,
    extract::{MatchedPath, Request},
    http::{HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::{Code, Principal, Problem, RequestId, problem::PROBLEM_JSON, request_id::X_REQUEST_ID};

/// Gives the request an id, answers it, and logs it. The query string is never logged: it may hold what
/// attackers typed.
pub(crate) async fn observe(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = RequestId::of(request.headers());
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let answer = async { as_problem(next.run(request).await) };
    let mut response = RequestId::scope(id.clone(), answer).await;
    log(&method, route.as_ref().map_or("none", MatchedPath::as_str), &response, started, &id);
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(X_REQUEST_ID, id);
    }
    response
}

fn log(method: &Method, route: &str, response: &Response, started: Instant, request_id: &str) {
    let status = response.status().as_u16();
    let ms = started.elapsed().as_millis();
    // Unknown for a stream, which is logged when it begins.
    let bytes = response.body().size_hint().exact();
    let principal = response.extensions().get::<Principal>().map(|principal| principal.name.as_str());
    match response.status().is_success() {
        true => {
            tracing::debug!(%method, route, status, ms, bytes, request_id, principal, "answered a request")
        }
        false => {
            tracing::info!(%method, route, status, ms, bytes, request_id, principal, "answered a request")
        }
    }
}

/// Turns a refusal by axum (no such method, a path that is not UTF-8, a body that is too large) into a problem.
fn as_problem(response: Response) -> Response {
    let status = response.status();
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if !(status.is_client_error() || status.is_server_error()) || kind == Some(PROBLEM_JSON) {
        return response;
    }
    let code = Code::of_status(status);
    let mut problem = Problem::new(code, detail(status, code)).into_response();
    // Headers that belong to the status stay, such as Allow.
    for (name, value) in response.headers() {
        if ![header::CONTENT_LENGTH, header::CONTENT_TYPE].contains(name) {
            problem.headers_mut().insert(name, value.clone());
        }
    }
    problem
}

fn detail(status: StatusCode, code: Code) -> String {
    match code {
        Code::MethodNotAllowed => "the header Allow lists the methods of this path".into(),
        _ => status.canonical_reason().unwrap_or_default().to_lowercase(),
    }
}
