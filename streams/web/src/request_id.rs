//! The id of a request: in the answer, in problems and in the access log.

use axum::http::{HeaderMap, HeaderName};
use uuid::Uuid;

/// Longest id that is taken from a client.
const LONGEST: usize = 64;

pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

tokio::task_local! {
    static CURRENT: String;
}

/// The id of the request that the current task answers.
pub struct RequestId;

impl RequestId {
    /// `None` outside of a request.
    pub fn current() -> Option<String> {
        CURRENT.try_with(Clone::clone).ok()
    }

    /// The client's id when it is harmless in logs and headers, else a new one.
    pub(crate) fn of(headers: &HeaderMap) -> String {
        let sent = headers.get(X_REQUEST_ID).and_then(|id| id.to_str().ok());
        let allowed = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.');
        match sent.filter(|id| (1..=LONGEST).contains(&id.len()) && id.bytes().all(allowed)) {
            Some(id) => id.to_owned(),
            None => Uuid::new_v4().to_string(),
        }
    }

    pub(crate) async fn scope<T>(id: String, answer: impl Future<Output = T>) -> T {
        CURRENT.scope(id, answer).await
    }
}
