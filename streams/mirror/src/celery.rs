//! A status as Celery's result backend stores it, so that an unmodified `AsyncResult` reads it.
//! Source: `celery/backends/base.py`, `_get_result_meta` and `exception_to_python`.

use jobs::{State, Status};
use serde_json::{Value, json};

/// The value of `celery-task-meta-{id}`.
pub(crate) fn meta(status: &Status, result: Option<&Value>) -> Value {
    let (name, value) = match status.state {
        State::Queued => ("PENDING", Value::Null),
        State::InProgress => ("PROGRESS", json!(status)),
        State::Retrying => ("RETRY", exception(status, "Retry")),
        State::Completed => ("SUCCESS", result.cloned().unwrap_or_default()),
        State::Failed => ("FAILURE", exception(status, "Exception")),
        State::Cancelled => (
            "REVOKED",
            json!({
                "exc_type": "TaskRevokedError",
                "exc_message": ["cancelled"],
                "exc_module": "celery.exceptions",
            }),
        ),
    };
    let ended = status.state.is_final();
    let done = ended.then(|| status.updated_at.format("%Y-%m-%dT%H:%M:%S%.6f").to_string());
    json!({
        "status": name,
        "result": value,
        "traceback": null,
        "children": [],
        "date_done": done,
        "task_id": status.job_id,
    })
}

fn exception(status: &Status, fallback: &str) -> Value {
    let (kind, message) =
        status.error.as_ref().map_or((fallback, ""), |error| (error.kind.as_str(), error.message.as_str()));
    json!({"exc_type": kind, "exc_message": [message], "exc_module": "cowriestream"})
}
