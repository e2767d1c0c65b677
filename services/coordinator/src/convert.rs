//! Between protobuf and what is ours.

use chrono::{DateTime, Utc};
use jobs::{Capabilities, Preference, State, Status, WorkerSpec};
use prost_types::{ListValue, Struct, Timestamp, Value as Proto, value::Kind};
use proto::{self as p, JobState};
use serde_json::{Map, Number, Value, json};
use store::{Job, Queue, Schedule, Worker};

use crate::{desk::Shown, problem::Problem};

/// Deepest nesting of parameters.
const DEEPEST: usize = 32;

pub fn timestamp(at: DateTime<Utc>) -> Timestamp {
    Timestamp { seconds: at.timestamp(), nanos: at.timestamp_subsec_nanos().cast_signed() }
}

/// As RFC 3339, which the reading of requests understands; a time that cannot be is passed on as text, for
/// the error to quote.
fn time_text(at: &Timestamp) -> Value {
    match DateTime::from_timestamp(at.seconds, at.nanos.try_into().unwrap_or(u32::MAX)) {
        Some(time) => json!(time.to_rfc3339()),
        None => json!(format!("{} s", at.seconds)),
    }
}

/// Whole numbers become whole again: protobuf's Struct knows doubles only.
fn json_of(value: Proto, depth: usize) -> Result<Value, Problem> {
    if depth > DEEPEST {
        return Err(Problem::field("parameters", format!("nested deeper than {DEEPEST}")));
    }
    Ok(match value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(on)) => on.into(),
        Some(Kind::StringValue(text)) => text.into(),
        Some(Kind::NumberValue(x)) if x.fract() == 0.0 && x.abs() < 9e15 => (x as i64).into(),
        Some(Kind::NumberValue(x)) => Number::from_f64(x).map_or_else(|| json!(x.to_string()), Value::Number),
        Some(Kind::ListValue(list)) => Value::Array(
            list.values.into_iter().map(|one| json_of(one, depth + 1)).collect::<Result<_, _>>()?,
        ),
        Some(Kind::StructValue(object)) => Value::Object(object_of(object, depth + 1)?),
    })
}

fn object_of(object: Struct, depth: usize) -> Result<Map<String, Value>, Problem> {
    object.fields.into_iter().map(|(name, value)| Ok((name, json_of(value, depth)?))).collect()
}

fn proto_of(value: Value) -> Proto {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(on) => Kind::BoolValue(on),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Value::String(text) => Kind::StringValue(text),
        Value::Array(some) => Kind::ListValue(ListValue { values: some.into_iter().map(proto_of).collect() }),
        Value::Object(object) => Kind::StructValue(struct_of(object)),
    };
    Proto { kind: Some(kind) }
}

fn struct_of(object: Map<String, Value>) -> Struct {
    Struct { fields: object.into_iter().map(|(name, value)| (name, proto_of(value))).collect() }
}

fn as_struct(value: Value) -> Option<Struct> {
    match value {
        Value::Object(object) => Some(struct_of(object)),
        _ => None,
    }
}

/// A request in the words of REST; zeros and empty texts are absent, as proto3 has it.
pub fn request(request: p::SubmitRequest) -> Result<Value, Problem> {
    let mut body = Map::new();
    let mut put = |name: &str, value: Value| {
        body.insert(name.to_owned(), value);
    };
    put("job_type", request.job_type.into());
    if let Some(parameters) = request.parameters {
        put("parameters", Value::Object(object_of(parameters, 0)?));
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
    for (name, time) in [("not_before", request.not_before), ("deadline", request.deadline)] {
        if let Some(time) = time {
            put(name, time_text(&time));
        }
    }
    if let Some(wanted) = request.requirements {
        put(
            "requirements",
            json!({ "min_memory_gb": number(wanted.min_memory_gb), "min_cpu_cores": wanted.min_cpu_cores, "accelerator": wanted.accelerator }),
        );
    }
    Ok(Value::Object(body))
}

/// JSON knows no NaN and no infinity: as text they are refused like any other text.
fn number(x: f64) -> Value {
    if x.is_finite() { x.into() } else { x.to_string().into() }
}

/// A stored request of a schedule, back in the words of gRPC.
fn request_back(body: &Value) -> p::SubmitRequest {
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    let number = |name: &str| body[name].as_u64().and_then(|n| n.try_into().ok()).unwrap_or_default();
    p::SubmitRequest {
        job_type: text("job_type"),
        parameters: as_struct(body["parameters"].clone()),
        priority: number("priority"),
        timeout_seconds: number("timeout_seconds"),
        max_attempts: number("max_attempts"),
        unique_key: text("unique_key"),
        queue: text("queue"),
        requirements: body.get("requirements").map(|wanted| p::Requirements {
            min_memory_gb: wanted["min_memory_gb"].as_f64().unwrap_or_default(),
            min_cpu_cores: wanted["min_cpu_cores"].as_u64().unwrap_or_default() as u32,
            accelerator: wanted["accelerator"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|one| one.as_str().map(str::to_owned))
                .collect(),
        }),
        ..Default::default()
    }
}

pub fn state(state: State) -> JobState {
    match state {
        State::Queued => JobState::Queued,
        State::InProgress => JobState::InProgress,
        State::Retrying => JobState::Retrying,
        State::Completed => JobState::Completed,
        State::Failed => JobState::Failed,
        State::Cancelled => JobState::Cancelled,
    }
}

pub fn state_back(number: i32) -> Result<State, Problem> {
    let found = State::ALL.into_iter().find(|one| state(*one) as i32 == number);
    found.ok_or_else(|| Problem::field("states", format!("{number} is no state of a job")))
}

pub fn status(status: Status) -> p::JobStatus {
    p::JobStatus {
        job_id: status.job_id.to_string(),
        state: state(status.state).into(),
        progress_percent: status.progress_percent,
        current_step: status.current_step.unwrap_or_default(),
        sessions_processed: status.sessions_processed.unwrap_or_default(),
        total_sessions: status.total_sessions.unwrap_or_default(),
        estimated_completion: status.estimated_completion.map(timestamp),
        worker: status.worker.unwrap_or_default(),
        attempt: status.attempt.unsigned_abs(),
        error: status.error.map(|error| p::JobError { r#type: error.kind, message: error.message }),
        updated_at: Some(timestamp(status.updated_at)),
        version: status.version,
    }
}

pub fn job(job: Job, of: Status) -> p::Job {
    p::Job {
        job_id: job.job_id.to_string(),
        job_type: job.job_type,
        queue: job.queue,
        parameters: as_struct(job.parameters),
        priority: job.priority.unsigned_abs().into(),
        created_at: Some(timestamp(job.created_at)),
        timeout_seconds: job.timeout_seconds.unsigned_abs(),
        requirements: Some(p::Requirements {
            min_memory_gb: job.min_memory_gb,
            min_cpu_cores: job.min_cpu_cores.unsigned_abs(),
            accelerator: job.accelerators,
        }),
        idempotency_key: job.idempotency_key.unwrap_or_default(),
        max_attempts: job.max_attempts.unsigned_abs(),
        not_before: Some(timestamp(job.not_before)),
        deadline: job.deadline.map(timestamp),
        unique_key: job.unique_key.unwrap_or_default(),
        status: Some(status(of)),
        result: job.result.and_then(as_struct),
        schedule: job.schedule.unwrap_or_default(),
        waits_for: String::new(),
        qualified_workers: Vec::new(),
    }
}

pub fn shown(shown: Shown) -> p::Job {
    p::Job {
        waits_for: shown.waits_for.unwrap_or_default(),
        qualified_workers: shown.qualified,
        ..job(shown.job, shown.status)
    }
}

/// A job in the words of REST.
pub fn job_json(job: &Job, status: &Status) -> Value {
    json!({
        "job_id": job.job_id, "job_type": job.job_type, "queue": job.queue, "parameters": job.parameters, "priority": job.priority,
        "created_at": job.created_at, "not_before": job.not_before, "deadline": job.deadline, "timeout_seconds": job.timeout_seconds,
        "max_attempts": job.max_attempts, "idempotency_key": job.idempotency_key, "unique_key": job.unique_key, "schedule": job.schedule,
        "requirements": { "min_memory_gb": job.min_memory_gb, "min_cpu_cores": job.min_cpu_cores, "accelerator": job.accelerators },
        "status": status, "result": job.result,
    })
}

pub fn shown_json(shown: &Shown) -> Value {
    let mut body = job_json(&shown.job, &shown.status);
    body["waits_for"] = json!(shown.waits_for);
    body["qualified_workers"] = json!(shown.qualified);
    body
}

pub fn queue(queue: Queue) -> p::Queue {
    p::Queue {
        name: queue.name,
        paused: queue.paused,
        waiting: queue.waiting,
        running: queue.running,
        exclusive_to: queue.exclusive_to,
    }
}

fn worker_status(worker: &Worker) -> &'static str {
    match (worker.alive, worker.draining) {
        (false, _) => "dead",
        (true, true) => "draining",
        (true, false) => "active",
    }
}

pub fn worker(worker: Worker) -> p::Worker {
    p::Worker {
        status: worker_status(&worker).to_owned(),
        worker_id: worker.worker_id.to_string(),
        running: worker.running.unsigned_abs(),
        heartbeat_at: Some(timestamp(worker.heartbeat_at)),
        name: worker.spec.name,
        hostname: worker.spec.hostname,
        r#type: worker.spec.place,
        concurrency: worker.spec.concurrency.unsigned_abs(),
        platform: worker.spec.platform,
        job_types: worker.spec.job_types,
        queues: worker
            .spec
            .queues
            .into_iter()
            .map(|served| p::WorkerQueue {
                queue: served.queue,
                priority: served.priority.unsigned_abs(),
                exclusive: served.exclusive,
            })
            .collect(),
        capabilities: Some(p::Capabilities {
            accelerator: worker.spec.capabilities.accelerator,
            memory_gb: worker.spec.capabilities.memory_gb,
            cpu_cores: worker.spec.capabilities.cpu_cores.unsigned_abs(),
        }),
    }
}

/// A worker in the form of ADR 002, with more.
pub fn worker_json(worker: &Worker) -> Value {
    let queues: Vec<_> = worker.spec.queues.iter().map(|served| &served.queue).collect();
    json!({
        "worker_id": worker.worker_id, "name": worker.spec.name, "hostname": worker.spec.hostname, "type": worker.spec.place, "queues": queues,
        "status": worker_status(worker), "concurrency": worker.spec.concurrency, "running": worker.running, "platform": worker.spec.platform,
        "preferences": worker.spec.queues, "capabilities": worker.spec.capabilities, "job_types": worker.spec.job_types,
        "heartbeat_at": worker.heartbeat_at,
    })
}

/// What another program says of its worker.
pub fn worker_spec(worker: p::Worker) -> Result<WorkerSpec, Problem> {
    let has = worker.capabilities.unwrap_or_default();
    let number = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
    let or = |text: String, other: &str| if text.is_empty() { other.to_owned() } else { text };
    let spec = WorkerSpec {
        hostname: or(worker.hostname, &worker.name),
        name: worker.name,
        place: or(worker.r#type, "native"),
        platform: worker.platform,
        concurrency: number(worker.concurrency),
        queues: worker
            .queues
            .into_iter()
            .map(|served| Preference {
                queue: served.queue,
                priority: if served.priority == 0 { 50 } else { number(served.priority) },
                exclusive: served.exclusive,
            })
            .collect(),
        job_types: worker.job_types,
        capabilities: Capabilities {
            accelerator: or(has.accelerator, "none"),
            memory_gb: has.memory_gb,
            cpu_cores: number(has.cpu_cores),
        },
    };
    spec.check().map_err(|why| Problem::field("worker", why))?;
    Ok(spec)
}

pub fn schedule(schedule: Schedule) -> p::Schedule {
    p::Schedule {
        job: Some(request_back(&schedule.job)),
        name: schedule.name,
        cron: schedule.cron,
        catch_up: schedule.catch_up,
        next_at: Some(timestamp(schedule.next_at)),
        last_at: schedule.last_at.map(timestamp),
        error: schedule.error.unwrap_or_default(),
    }
}

/// A schedule in the words of REST.
pub fn schedule_json(schedule: &Schedule) -> Value {
    json!({
        "name": schedule.name, "cron": schedule.cron, "job": schedule.job, "catch_up": schedule.catch_up, "from_file": schedule.from_file,
        "next_at": schedule.next_at, "last_at": schedule.last_at, "error": schedule.error,
    })
}
