//! The keys and values of the Redis mirror: written by the coordinator, read by everybody.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::{State, Status};

/// There while the mirror is whole: gone, everything is written again.
pub const SENTINEL: &str = "cowrie:mirror";

/// Hash with the status; and the channel that tells of its changes.
pub fn status(job: Uuid) -> String {
    format!("cowrie:status:{job}")
}

/// The channel that tells of progress.
pub fn progress(job: Uuid) -> String {
    format!("cowrie:progress:{job}")
}

/// Celery's result, and the channel on which Celery's clients wait for it.
pub fn celery(job: Uuid) -> String {
    format!("celery-task-meta-{job}")
}

/// Capped stream of every status, for clients that come back.
pub fn events(job: Uuid) -> String {
    format!("cowrie:events:{job}")
}

/// Sorted set of the jobs of a queue that have not ended, by when they were accepted (seconds since 1970).
pub fn queue(name: &str) -> String {
    format!("cowrie:jobs:{name}")
}

/// A status as Celery's result backend would store it, so that an unmodified `AsyncResult` reads it.
/// Source: `celery/backends/base.py`, `_get_result_meta` and `exception_to_python`.
pub fn celery_meta(status: &Status, result: Option<&Value>) -> Value {
    let (name, value) = match status.state {
        State::Queued => ("PENDING", Value::Null),
        State::InProgress => ("PROGRESS", json!(status)),
        State::Retrying => ("RETRY", exception(status, "Retry")),
        State::Completed => ("SUCCESS", result.cloned().unwrap_or_default()),
        State::Failed => ("FAILURE", exception(status, "Exception")),
        State::Cancelled => (
            "REVOKED",
            json!({"exc_type": "TaskRevokedError", "exc_message": ["cancelled"], "exc_module": "celery.exceptions"}),
        ),
    };
    let done = status.state.is_final().then(|| status.updated_at.format("%Y-%m-%dT%H:%M:%S%.6f").to_string());
    json!({"status": name, "result": value, "traceback": null, "children": [], "date_done": done, "task_id": status.job_id})
}

fn exception(status: &Status, fallback: &str) -> Value {
    let (kind, message) =
        status.error.as_ref().map_or((fallback, ""), |error| (error.kind.as_str(), error.message.as_str()));
    json!({"exc_type": kind, "exc_message": [message], "exc_module": "cowriestream"})
}

/// A status as fields of a hash; what is unknown is left out.
pub fn fields(status: &Status) -> Vec<(String, String)> {
    let Value::Object(object) = json!(status) else { return Vec::new() };
    let text = |value: Value| match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    };
    object.into_iter().filter_map(|(name, value)| text(value).map(|value| (name, value))).collect()
}
