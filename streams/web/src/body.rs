//! A JSON body.

use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
};
use fields::{Fields, read_json};
use serde_json::Value;

use crate::{Code, Problem};

/// A body that is JSON. One that is not is refused with 400, one that names a field twice with 422.
pub struct Body(pub Value);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| {
            Problem::new(Code::of_status(rejection.status()), rejection.body_text().to_lowercase())
        })?;
        let (value, doubled) = read_json(&bytes)
            .map_err(|error| Problem::new(Code::Malformed, format!("the body is not JSON: {error}")))?;
        if doubled.is_empty() { Ok(Self(value)) } else { Err(Problem::invalid(doubled)) }
    }
}

impl Body {
    /// Reads the fields of an object. Every wrong and every unknown field is reported at once.
    pub fn read<T>(self, read: impl FnOnce(&mut Fields<'_>) -> T) -> Result<T, Problem> {
        let mut errors = Vec::new();
        let mut fields = Fields::of(self.0, "", &mut errors);
        let value = read(&mut fields);
        fields.end();
        if errors.is_empty() { Ok(value) } else { Err(Problem::invalid(errors)) }
    }
}
