//! What may be wrong with a request: one table of codes for HTTP and gRPC.

use std::time::Duration;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use fields::FieldError;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{RateLimit, RequestId, rate_limit};

/// After this time a client may try again, where the problem does not say.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// The media type of a problem.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// Why a request was refused. Clients branch on it; the set is closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ProblemCode)]
pub enum Code {
    Malformed,
    Unauthenticated,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    Timeout,
    Conflict,
    InvalidState,
    BodyTooLarge,
    UriTooLong,
    UnsupportedMediaType,
    InvalidFields,
    TooManyRequests,
    HeadersTooLarge,
    Internal,
    Unavailable,
}

impl Code {
    pub const ALL: [Self; 16] = [
        Self::Malformed,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::Timeout,
        Self::Conflict,
        Self::InvalidState,
        Self::BodyTooLarge,
        Self::UriTooLong,
        Self::UnsupportedMediaType,
        Self::InvalidFields,
        Self::TooManyRequests,
        Self::HeadersTooLarge,
        Self::Internal,
        Self::Unavailable,
    ];

    /// HTTP status, gRPC status (the numbers of google.rpc.Code), title.
    fn row(self) -> (StatusCode, i32, &'static str) {
        match self {
            Self::Malformed => (StatusCode::BAD_REQUEST, 3, "malformed request"),
            Self::Unauthenticated => (StatusCode::UNAUTHORIZED, 16, "no valid credential"),
            Self::Forbidden => (StatusCode::FORBIDDEN, 7, "not allowed"),
            Self::NotFound => (StatusCode::NOT_FOUND, 5, "not found"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, 12, "method not allowed"),
            Self::Timeout => (StatusCode::REQUEST_TIMEOUT, 4, "the request took too long to arrive"),
            Self::Conflict => (StatusCode::CONFLICT, 6, "conflict"),
            Self::InvalidState => (StatusCode::CONFLICT, 9, "not possible in this state"),
            Self::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, 8, "body too large"),
            Self::UriTooLong => (StatusCode::URI_TOO_LONG, 3, "URI too long"),
            Self::UnsupportedMediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, 3, "unsupported media type"),
            Self::InvalidFields => (StatusCode::UNPROCESSABLE_ENTITY, 3, "invalid request"),
            Self::TooManyRequests => (StatusCode::TOO_MANY_REQUESTS, 8, "too many requests"),
            Self::HeadersTooLarge => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, 8, "headers too large"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, 13, "internal error"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, 14, "not available for now"),
        }
    }

    pub fn status(self) -> StatusCode {
        self.row().0
    }

    /// The number of the gRPC status code.
    pub fn grpc(self) -> i32 {
        self.row().1
    }

    pub fn title(self) -> &'static str {
        self.row().2
    }

    /// The code for a refusal of which only the status is known: one by the HTTP library, say.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        let other = if status.is_client_error() { Self::Malformed } else { Self::Internal };
        Self::ALL.into_iter().find(|code| code.status() == status).unwrap_or(other)
    }
}

/// A refusal, not yet as text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    pub code: Code,
    pub detail: String,
    /// Each wrong field by name, for [`Code::InvalidFields`].
    pub errors: Vec<FieldError>,
    retry_after: Option<Duration>,
    limits: Vec<RateLimit>,
}

impl Problem {
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), errors: Vec::new(), retry_after: None, limits: Vec::new() }
    }

    /// A limit is reached; there is more after this time.
    pub fn too_many(detail: impl Into<String>, retry_after: Duration, limits: Vec<RateLimit>) -> Self {
        let problem = Self::new(Code::TooManyRequests, detail);
        Self { retry_after: Some(retry_after), limits, ..problem }
    }

    /// After this time the client may try again, if it may at all.
    pub fn retry_after(&self) -> Option<Duration> {
        let may = matches!(self.code, Code::Unavailable | Code::TooManyRequests);
        may.then(|| self.retry_after.unwrap_or(RETRY_AFTER))
    }

    /// The request was read, and these fields are wrong.
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        let lines: Vec<_> =
            errors.iter().map(|error| format!("{}: {}", error.field, error.message)).collect();
        Self { errors, ..Self::new(Code::InvalidFields, lines.join("; ")) }
    }

    pub fn field(field: &str, message: impl Into<String>) -> Self {
        Self::invalid(vec![FieldError { field: field.into(), message: message.into() }])
    }

    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(Code::NotFound, detail)
    }

    /// A server that this service needs does not answer: the client may try again.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(Code::Unavailable, detail)
    }

    /// The body of the answer, with the id of the request that is being answered.
    pub fn body(self) -> ProblemBody {
        ProblemBody {
            kind: "about:blank",
            title: self.code.title(),
            status: self.code.status().as_u16(),
            code: self.code,
            detail: self.detail,
            errors: self.errors,
            request_id: RequestId::current(),
        }
    }
}

/// A refusal, as in RFC 9457.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// Always `about:blank`: `code` tells problems apart
    #[serde(rename = "type")]
    #[schema(value_type = String)]
    kind: &'static str,
    /// The code in words
    #[schema(value_type = String)]
    title: &'static str,
    /// The HTTP status
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    code: Code,
    /// What is wrong with this request, in words
    detail: String,
    /// Each wrong field; empty unless the code is invalid_fields
    errors: Vec<FieldError>,
    /// As in the header x-request-id and in the server's log
    #[schema(required = true)]
    request_id: Option<String>,
}

impl ProblemBody {
    pub(crate) fn set_request_id(&mut self, id: Option<String>) {
        self.request_id = id;
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (code, retry_after, limits) = (self.code, self.retry_after(), self.limits.clone());
        let body = serde_json::to_string(&self.body()).unwrap_or_default();
        let mut response =
            (code.status(), [(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON))], body)
                .into_response();
        let headers = response.headers_mut();
        rate_limit::add(headers, &limits);
        if let Some(after) = retry_after {
            // Rounded up: a client that came earlier would be refused again.
            let seconds = after.as_millis().div_ceil(1_000).max(1);
            headers
                .insert(header::RETRY_AFTER, HeaderValue::from(u64::try_from(seconds).unwrap_or(u64::MAX)));
        }
        match code {
            Code::Unauthenticated => {
                let challenge = HeaderValue::from_static(r#"Bearer realm="cowriestream""#);
                headers.insert(header::WWW_AUTHENTICATE, challenge);
            }
            // The rest of the request is still on its way.
            Code::Timeout => {
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            _ => (),
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_codes_is_public() {
        let rows: Vec<_> = Code::ALL
            .into_iter()
            .map(|code| {
                let name = serde_json::to_value(code).unwrap();
                let retry =
                    Problem::new(code, "").into_response().headers().contains_key(header::RETRY_AFTER);
                let retry = if retry { " retry" } else { "" };
                format!("{} {} {}{retry}", name.as_str().unwrap(), code.status().as_u16(), code.grpc())
            })
            .collect();
        assert_eq!(
            rows,
            [
                "malformed 400 3",
                "unauthenticated 401 16",
                "forbidden 403 7",
                "not_found 404 5",
                "method_not_allowed 405 12",
                "timeout 408 4",
                "conflict 409 6",
                "invalid_state 409 9",
                "body_too_large 413 8",
                "uri_too_long 414 3",
                "unsupported_media_type 415 3",
                "invalid_fields 422 3",
                "too_many_requests 429 8 retry",
                "headers_too_large 431 8",
                "internal 500 13",
                "unavailable 503 14 retry",
            ]
        );
    }
}
