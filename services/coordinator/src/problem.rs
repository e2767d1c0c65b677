//! What may be wrong with a call: one table for gRPC and REST.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use fields::FieldError;
use serde_json::json;
use store::Failure;
use tonic::{Code, Status, metadata::MetadataValue};

/// The trailer with field errors.
const ERRORS: &str = "cowriestream-errors-bin";

/// Why a call was not done.
#[derive(Debug)]
pub enum Problem {
    /// The request itself is wrong: each field by name.
    Invalid(Vec<FieldError>),
    /// There is nothing of that name.
    NotFound(String),
    /// It clashes with what is there.
    Conflict(String),
    /// It cannot be done in this state.
    State(String),
    /// The database or the broker is away: try again.
    Away(String),
}

impl Problem {
    /// One wrong field.
    pub fn field(field: &str, message: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldError::new(field, message)])
    }

    fn codes(&self) -> (StatusCode, Code, &'static str) {
        match self {
            Self::Invalid(_) => (StatusCode::UNPROCESSABLE_ENTITY, Code::InvalidArgument, "invalid request"),
            Self::NotFound(_) => (StatusCode::NOT_FOUND, Code::NotFound, "not found"),
            Self::Conflict(_) => (StatusCode::CONFLICT, Code::AlreadyExists, "conflict"),
            Self::State(_) => (StatusCode::CONFLICT, Code::FailedPrecondition, "not possible in this state"),
            Self::Away(_) => (StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, "not available for now"),
        }
    }

    pub(crate) fn detail(&self) -> String {
        match self {
            Self::Invalid(errors) => errors
                .iter()
                .map(|error| format!("{}: {}", error.field, error.message))
                .collect::<Vec<_>>()
                .join("; "),
            Self::NotFound(why) | Self::Conflict(why) | Self::State(why) | Self::Away(why) => why.clone(),
        }
    }

    fn errors(&self) -> &[FieldError] {
        match self {
            Self::Invalid(errors) => errors,
            _ => &[],
        }
    }
}

impl From<FieldError> for Problem {
    fn from(error: FieldError) -> Self {
        Self::Invalid(vec![error])
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        let conflict = failure.is_conflict();
        let refused = matches!(failure, Failure::Reject(_));
        let error = anyhow::Error::from(failure);
        tracing::warn!(error = format!("{error:#}"), "a call could not be answered");
        match (conflict, refused) {
            (true, _) => Self::State("another request made the same at the same time: look again".into()),
            (_, true) => Self::field("request", format!("the database refuses a value: {error:#}")),
            _ => Self::Away("the database did not answer; try again".into()),
        }
    }
}

/// As in RFC 9457, with `errors` for the fields.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, _, title) = self.codes();
        response(status, title, &self.detail(), self.errors())
    }
}

/// A refusal that is only of HTTP.
pub(crate) fn plain(status: StatusCode, detail: &str) -> Response {
    response(status, &status.canonical_reason().unwrap_or_default().to_lowercase(), detail, &[])
}

fn response(status: StatusCode, title: &str, detail: &str, errors: &[FieldError]) -> Response {
    let body = json!({ "type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail, "errors": errors });
    (status, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
}

impl From<Problem> for Status {
    fn from(problem: Problem) -> Self {
        let (_, code, title) = problem.codes();
        let mut status = Self::new(code, format!("{title}: {}", problem.detail()));
        if !problem.errors().is_empty() {
            let text = serde_json::to_vec(problem.errors()).unwrap_or_default();
            status.metadata_mut().insert_bin(ERRORS, MetadataValue::from_bytes(&text));
        }
        status
    }
}
