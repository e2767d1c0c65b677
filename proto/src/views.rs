//! The views of `jobs::views` as messages, and back.

use chrono::{DateTime, Utc};
use jobs::{
    Capabilities, JobError, JobParameters, Preference, Requirements, State, Status,
    views::{Job, JobDetail, JobTypeSchema, Queue, Schedule, Worker, WorkerStatus},
};
use prost_types::{Struct, Timestamp};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    self as p,
    json::{as_struct, object_of, time, timestamp},
    request_json, request_message,
};

impl From<State> for p::JobState {
    fn from(state: State) -> Self {
        match state {
            State::Queued => Self::Queued,
            State::InProgress => Self::InProgress,
            State::Retrying => Self::Retrying,
            State::Completed => Self::Completed,
            State::Failed => Self::Failed,
            State::Cancelled => Self::Cancelled,
        }
    }
}

impl TryFrom<p::JobState> for State {
    type Error = String;

    fn try_from(state: p::JobState) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|one| p::JobState::from(*one) == state);
        found.ok_or_else(|| format!("{} is not a state of a job", state.as_str_name()))
    }
}

impl From<Status> for p::JobStatus {
    fn from(status: Status) -> Self {
        Self {
            job_id: status.job_id.to_string(),
            state: p::JobState::from(status.state).into(),
            progress_percent: status.progress_percent,
            current_step: status.current_step.unwrap_or_default(),
            sessions_processed: status.sessions_processed,
            total_sessions: status.total_sessions,
            estimated_completion: status.estimated_completion.map(timestamp),
            worker: status.worker.unwrap_or_default(),
            attempt: status.attempt.unsigned_abs(),
            uncounted_attempts: status.uncounted_attempts.unsigned_abs(),
            attempts_left: status.attempts_left.unsigned_abs(),
            next_attempt_at: status.next_attempt_at.map(timestamp),
            error: status.error.map(|error| p::JobError { r#type: error.kind, message: error.message }),
            updated_at: Some(timestamp(status.updated_at)),
            version: status.version,
        }
    }
}

impl TryFrom<p::JobStatus> for Status {
    type Error = String;

    fn try_from(status: p::JobStatus) -> Result<Self, String> {
        Ok(Self {
            job_id: id("job_id", &status.job_id)?,
            state: status.state().try_into()?,
            progress_percent: status.progress_percent,
            current_step: some(status.current_step),
            sessions_processed: status.sessions_processed,
            total_sessions: status.total_sessions,
            estimated_completion: status.estimated_completion.as_ref().and_then(time),
            worker: some(status.worker),
            attempt: status.attempt.cast_signed(),
            uncounted_attempts: status.uncounted_attempts.cast_signed(),
            attempts_left: status.attempts_left.cast_signed(),
            next_attempt_at: status.next_attempt_at.as_ref().and_then(time),
            error: status.error.map(|error| JobError { kind: error.r#type, message: error.message }),
            updated_at: at("updated_at", status.updated_at)?,
            version: status.version,
        })
    }
}

impl From<Job> for p::Job {
    fn from(job: Job) -> Self {
        Self {
            job_id: job.job_id.to_string(),
            job_type: job.job_type,
            queue: job.queue,
            parameters: as_struct(job.parameters),
            priority: job.priority.unsigned_abs().into(),
            created_at: Some(timestamp(job.created_at)),
            timeout_seconds: job.timeout_seconds.unsigned_abs(),
            requirements: Some(p::Requirements {
                min_memory_gb: job.requirements.min_memory_gb,
                min_cpu_cores: job.requirements.min_cpu_cores.unsigned_abs(),
                accelerator: job.requirements.accelerator,
            }),
            idempotency_key: job.idempotency_key.unwrap_or_default(),
            max_attempts: job.max_attempts.unsigned_abs(),
            not_before: job.not_before.map(timestamp),
            deadline: job.deadline.map(timestamp),
            unique_key: job.unique_key.unwrap_or_default(),
            status: Some(job.status.into()),
            result: job.result.and_then(as_struct),
            schedule: job.schedule.unwrap_or_default(),
            waits_for: String::new(),
            qualified_workers: Vec::new(),
        }
    }
}

impl TryFrom<p::Job> for Job {
    type Error = String;

    fn try_from(job: p::Job) -> Result<Self, String> {
        let wanted = job.requirements.unwrap_or_default();
        Ok(Self {
            job_id: id("job_id", &job.job_id)?,
            parameters: parameters(&job.job_type, object(job.parameters.unwrap_or_default())?),
            job_type: job.job_type,
            queue: job.queue,
            priority: job.priority.try_into().unwrap_or(i16::MAX),
            created_at: at("created_at", job.created_at)?,
            not_before: job.not_before.as_ref().and_then(time),
            deadline: job.deadline.as_ref().and_then(time),
            timeout_seconds: job.timeout_seconds.cast_signed(),
            max_attempts: job.max_attempts.cast_signed(),
            idempotency_key: some(job.idempotency_key),
            unique_key: some(job.unique_key),
            schedule: some(job.schedule),
            requirements: Requirements {
                min_memory_gb: wanted.min_memory_gb,
                min_cpu_cores: wanted.min_cpu_cores.cast_signed(),
                accelerator: wanted.accelerator,
            },
            status: job.status.ok_or("a job without a status")?.try_into()?,
            result: job.result.map(object).transpose()?,
        })
    }
}

impl From<JobDetail> for p::Job {
    fn from(detail: JobDetail) -> Self {
        Self {
            waits_for: detail.waits_for.unwrap_or_default(),
            qualified_workers: detail.qualified_workers,
            ..detail.job.into()
        }
    }
}

impl TryFrom<p::Job> for JobDetail {
    type Error = String;

    fn try_from(mut job: p::Job) -> Result<Self, String> {
        let waits_for = some(std::mem::take(&mut job.waits_for));
        let qualified_workers = std::mem::take(&mut job.qualified_workers);
        Ok(Self { job: job.try_into()?, waits_for, qualified_workers })
    }
}

impl From<Queue> for p::Queue {
    fn from(queue: Queue) -> Self {
        let Queue { name, paused, waiting, running, exclusive_to } = queue;
        Self { name, paused, waiting, running, exclusive_to }
    }
}

impl From<p::Queue> for Queue {
    fn from(queue: p::Queue) -> Self {
        let p::Queue { name, paused, waiting, running, exclusive_to } = queue;
        Self { name, paused, waiting, running, exclusive_to }
    }
}

impl From<JobTypeSchema> for p::JobType {
    fn from(one: JobTypeSchema) -> Self {
        Self {
            job_type: one.job_type,
            description: one.description,
            queue: one.queue,
            parameters: as_struct(one.parameters),
            result: as_struct(one.result),
        }
    }
}

impl From<WorkerStatus> for p::WorkerStatus {
    fn from(status: WorkerStatus) -> Self {
        match status {
            WorkerStatus::Active => Self::Active,
            WorkerStatus::Draining => Self::Draining,
            WorkerStatus::Dead => Self::Dead,
        }
    }
}

impl From<Worker> for p::Worker {
    fn from(worker: Worker) -> Self {
        let queue = |served: Preference| p::WorkerQueue {
            queue: served.queue,
            priority: served.priority.unsigned_abs(),
            exclusive: served.exclusive,
        };
        Self {
            worker_id: worker.worker_id.to_string(),
            name: worker.name,
            hostname: worker.hostname,
            r#type: worker.place,
            status: p::WorkerStatus::from(worker.status).into(),
            concurrency: worker.concurrency.unsigned_abs(),
            running: worker.running.unsigned_abs(),
            platform: worker.platform,
            queues: worker.preferences.into_iter().map(queue).collect(),
            capabilities: Some(p::Capabilities {
                accelerator: worker.capabilities.accelerator,
                memory_gb: worker.capabilities.memory_gb,
                cpu_cores: worker.capabilities.cpu_cores.unsigned_abs(),
            }),
            job_types: worker.job_types,
            heartbeat_at: Some(timestamp(worker.heartbeat_at)),
        }
    }
}

impl TryFrom<p::Worker> for Worker {
    type Error = String;

    fn try_from(worker: p::Worker) -> Result<Self, String> {
        let status = worker.status();
        let has = worker.capabilities.unwrap_or_default();
        let known = WorkerStatus::ALL.into_iter().find(|one| p::WorkerStatus::from(*one) == status);
        let preference = |served: p::WorkerQueue| Preference {
            queue: served.queue,
            priority: served.priority.cast_signed(),
            exclusive: served.exclusive,
        };
        Ok(Self {
            worker_id: id("worker_id", &worker.worker_id)?,
            name: worker.name,
            hostname: worker.hostname,
            place: worker.r#type,
            queues: worker.queues.iter().map(|served| served.queue.clone()).collect(),
            status: known.ok_or_else(|| format!("{} is not the status of a worker", status.as_str_name()))?,
            concurrency: worker.concurrency.cast_signed(),
            running: worker.running.cast_signed(),
            platform: worker.platform,
            preferences: worker.queues.into_iter().map(preference).collect(),
            capabilities: Capabilities {
                accelerator: has.accelerator,
                memory_gb: has.memory_gb,
                cpu_cores: has.cpu_cores.cast_signed(),
            },
            job_types: worker.job_types,
            heartbeat_at: at("heartbeat_at", worker.heartbeat_at)?,
        })
    }
}

impl From<Schedule> for p::Schedule {
    fn from(schedule: Schedule) -> Self {
        Self {
            job: Some(request_message(&schedule.job)),
            name: schedule.name,
            cron: schedule.cron,
            catch_up: schedule.catch_up,
            from_file: schedule.from_file,
            next_at: Some(timestamp(schedule.next_at)),
            last_at: schedule.last_at.map(timestamp),
            error: schedule.error.unwrap_or_default(),
        }
    }
}

impl TryFrom<p::Schedule> for Schedule {
    type Error = String;

    fn try_from(schedule: p::Schedule) -> Result<Self, String> {
        let job = request_json(schedule.job.unwrap_or_default());
        Ok(Self {
            name: schedule.name,
            cron: schedule.cron,
            job: job.map_err(|p::TooDeep| "a request that is nested too deep")?,
            catch_up: schedule.catch_up,
            from_file: schedule.from_file,
            next_at: at("next_at", schedule.next_at)?,
            last_at: schedule.last_at.as_ref().and_then(time),
            error: some(schedule.error),
        })
    }
}

/// proto3 says "absent" with an empty text.
fn some(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

fn id(field: &str, text: &str) -> Result<Uuid, String> {
    Uuid::try_parse(text).map_err(|_| format!("{field} {text:?} is not a UUID"))
}

fn at(field: &str, timestamp: Option<Timestamp>) -> Result<DateTime<Utc>, String> {
    timestamp.as_ref().and_then(time).ok_or_else(|| format!("{field} is missing"))
}

fn object(object: Struct) -> Result<Value, String> {
    object_of(object).map(Value::Object).ok_or_else(|| "an object that is nested too deep".to_owned())
}

/// `Struct` does not tell 1 from 1.0: the job's type does.
fn parameters(job_type: &str, read: Value) -> Value {
    JobParameters::stored(job_type, read.clone()).map_or(read, |parameters| parameters.to_value())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(micros: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(1_790_000_000_123_456 + micros).unwrap()
    }

    fn job() -> Job {
        let parameters =
            JobParameters::read("diagnostic", json!({"step_seconds": 2}), &mut Vec::new()).unwrap();
        Job {
            job_id: Uuid::from_u128(7),
            job_type: parameters.name().into(),
            queue: "reports".into(),
            parameters: parameters.to_value(),
            priority: 5,
            created_at: at(0),
            not_before: Some(at(1)),
            deadline: None,
            timeout_seconds: 60,
            max_attempts: 3,
            idempotency_key: None,
            unique_key: Some("u".into()),
            schedule: None,
            requirements: Requirements::default(),
            status: Status {
                job_id: Uuid::from_u128(7),
                state: State::Completed,
                progress_percent: 100.0,
                current_step: None,
                sessions_processed: Some(0),
                total_sessions: None,
                estimated_completion: None,
                worker: Some("w".into()),
                attempt: 1,
                uncounted_attempts: 1,
                attempts_left: 3,
                next_attempt_at: Some(at(5)),
                error: None,
                updated_at: at(2),
                version: 4,
            },
            result: Some(json!({"steps": 3, "mean": 0.5})),
        }
    }

    #[test]
    fn a_view_survives_grpc() {
        let detail = JobDetail { job: job(), waits_for: None, qualified_workers: vec!["w".into()] };
        assert_eq!(JobDetail::try_from(p::Job::from(detail.clone())), Ok(detail));
        let worker = Worker {
            worker_id: Uuid::from_u128(8),
            name: "w".into(),
            hostname: "w@host".into(),
            place: "native".into(),
            queues: vec!["reports".into()],
            status: WorkerStatus::Draining,
            concurrency: 4,
            running: 1,
            platform: "linux-amd64".into(),
            preferences: vec![Preference { queue: "reports".into(), priority: 0, exclusive: true }],
            capabilities: Capabilities { accelerator: "none".into(), memory_gb: 1.5, cpu_cores: 2 },
            job_types: vec!["report".into()],
            heartbeat_at: at(3),
        };
        assert_eq!(Worker::try_from(p::Worker::from(worker.clone())), Ok(worker));
        let schedule = Schedule {
            name: "s".into(),
            cron: "0 6 * * 1".into(),
            job: json!({"job_type": "report", "parameters": {"time_window": "7d"}, "priority": 9}),
            catch_up: true,
            from_file: true,
            next_at: at(4),
            last_at: None,
            error: None,
        };
        assert_eq!(Schedule::try_from(p::Schedule::from(schedule.clone())), Ok(schedule));
    }
}
