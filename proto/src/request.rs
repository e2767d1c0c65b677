//! A request to run a job, as gRPC and as REST spell it.

use prost_types::Timestamp;
use serde_json::{Map, Value, json};

use crate::{
    Requirements, SubmitJobRequest,
    json::{as_struct, object_of, time},
};

/// Parameters that are nested deeper than 32.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooDeep;

/// The request as REST spells it. Zeros and empty texts are absent, as in proto3.
pub fn request_json(request: SubmitJobRequest) -> Result<Value, TooDeep> {
    let mut body = Map::new();
    let mut put = |name: &str, value: Value| {
        body.insert(name.to_owned(), value);
    };
    put("job_type", request.job_type.into());
    if let Some(parameters) = request.parameters {
        put("parameters", Value::Object(object_of(parameters).ok_or(TooDeep)?));
    }
    for (name, number) in [
        ("priority", request.priority),
        ("timeout_seconds", request.timeout_seconds),
        ("max_attempts", request.max_attempts),
    ] {
        if number != 0 {
            put(name, number.into());
        }
    }
    for (name, text) in [
        ("idempotency_key", request.idempotency_key),
        ("unique_key", request.unique_key),
        ("queue", request.queue),
    ] {
        if !text.is_empty() {
            put(name, text.into());
        }
    }
    for (name, at) in [("not_before", request.not_before), ("deadline", request.deadline)] {
        if let Some(at) = at {
            put(name, time_text(&at));
        }
    }
    if let Some(wanted) = request.requirements {
        put(
            "requirements",
            json!({
                "min_memory_gb": number(wanted.min_memory_gb),
                "min_cpu_cores": wanted.min_cpu_cores,
                "accelerator": wanted.accelerator,
            }),
        );
    }
    Ok(Value::Object(body))
}

/// RFC 3339. A time that cannot be becomes another text, which the reader refuses and quotes.
fn time_text(at: &Timestamp) -> Value {
    time(at).map_or_else(|| format!("{} s", at.seconds).into(), |time| time.to_rfc3339().into())
}

/// JSON has no NaN and no infinity: as text they are refused like any other text.
fn number(x: f64) -> Value {
    if x.is_finite() { x.into() } else { x.to_string().into() }
}

/// The stored request of a schedule, as gRPC spells it.
pub fn request_message(body: &Value) -> SubmitJobRequest {
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    let number = |name: &str| body[name].as_u64().and_then(|n| n.try_into().ok()).unwrap_or_default();
    let requirements = |wanted: &Value| Requirements {
        min_memory_gb: wanted["min_memory_gb"].as_f64().unwrap_or_default(),
        min_cpu_cores: wanted["min_cpu_cores"].as_u64().and_then(|n| n.try_into().ok()).unwrap_or_default(),
        accelerator: wanted["accelerator"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|one| one.as_str().map(str::to_owned))
            .collect(),
    };
    SubmitJobRequest {
        job_type: text("job_type"),
        parameters: as_struct(body["parameters"].clone()),
        priority: number("priority"),
        timeout_seconds: number("timeout_seconds"),
        max_attempts: number("max_attempts"),
        unique_key: text("unique_key"),
        queue: text("queue"),
        requirements: body.get("requirements").filter(|wanted| wanted.is_object()).map(requirements),
        ..Default::default()
    }
}
