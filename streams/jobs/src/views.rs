//! Jobs, queues, workers and schedules as REST and the command line show them, and as gRPC carries them. An
//! absent value is null; times are RFC 3339 in UTC.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{Capabilities, Preference, Requirements, ScheduledJobRequest, Status};

/// A job
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
pub struct Job {
    pub job_id: Uuid,
    pub job_type: String,
    pub queue: String,
    /// What it was given, with defaults filled in
    #[schema(value_type = Object)]
    pub parameters: Value,
    /// 1 (last) to 10 (first)
    pub priority: i16,
    pub created_at: DateTime<Utc>,
    /// As submitted: the first attempt does not start before this time
    #[schema(required = true)]
    pub not_before: Option<DateTime<Utc>>,
    /// As submitted: it is given up when it has not started by this time; a retry lifts the deadline
    #[schema(required = true)]
    pub deadline: Option<DateTime<Utc>>,
    /// Of one attempt
    pub timeout_seconds: i32,
    /// As submitted: attempts that count before it is given up. status.attempts_left counts down
    pub max_attempts: i32,
    #[schema(required = true)]
    pub idempotency_key: Option<String>,
    #[schema(required = true)]
    pub unique_key: Option<String>,
    /// The schedule that made it
    #[schema(required = true)]
    pub schedule: Option<String>,
    pub requirements: Requirements,
    pub status: Status,
    /// What it returned, when it is completed; lists leave it out
    #[schema(required = true, value_type = Option<Object>)]
    pub result: Option<Value>,
}

/// A type of job
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
pub struct JobTypeSchema {
    pub job_type: String,
    /// What its jobs do
    pub description: String,
    /// The queue of a request that names none
    pub queue: String,
    /// JSON Schema of its parameters, with their defaults
    #[schema(value_type = Object)]
    pub parameters: Value,
    /// JSON Schema of its result
    #[schema(value_type = Object)]
    pub result: Value,
}

/// A page of job types, by name
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
pub struct JobTypeList {
    pub job_types: Vec<JobTypeSchema>,
    /// Null on the last page
    #[schema(required = true)]
    pub next_page_token: Option<String>,
}

/// A job, with who could run it and why it waits
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
pub struct JobDetail {
    #[serde(flatten)]
    pub job: Job,
    /// Why it waits, in words; null when it does not wait
    #[schema(required = true)]
    pub waits_for: Option<String>,
    /// Names of live workers that could run it, the preferred first
    pub qualified_workers: Vec<String>,
}

/// A page of jobs, newest first
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
pub struct JobList {
    pub jobs: Vec<Job>,
    /// Null on the last page
    #[schema(required = true)]
    pub next_page_token: Option<String>,
}

/// A queue
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct Queue {
    pub name: String,
    /// Its jobs are not started
    pub paused: bool,
    /// Jobs that wait for a worker or for their time
    pub waiting: i64,
    /// Jobs that run
    pub running: i64,
    /// The only workers that may take its jobs; empty: any worker
    pub exclusive_to: Vec<String>,
}

/// Whether a queue is paused
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[schema(as = Paused)]
pub struct QueuePaused {
    pub queue: String,
    pub paused: bool,
}

/// A page of queues, by name
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct QueueList {
    pub queues: Vec<Queue>,
    /// Null on the last page
    #[schema(required = true)]
    pub next_page_token: Option<String>,
}

/// A worker
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
pub struct Worker {
    /// New for each start of the worker's process
    pub worker_id: Uuid,
    pub name: String,
    /// name@host
    pub hostname: String,
    /// native or containerized
    #[serde(rename = "type")]
    pub place: String,
    /// The queues it serves
    pub queues: Vec<String>,
    pub status: WorkerStatus,
    /// Jobs at the same time
    pub concurrency: i32,
    /// Jobs that it runs now
    pub running: i32,
    /// linux-amd64
    pub platform: String,
    /// The same queues, with how they are preferred
    pub preferences: Vec<Preference>,
    pub capabilities: Capabilities,
    /// The job types that it knows
    pub job_types: Vec<String>,
    pub heartbeat_at: DateTime<Utc>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WorkerStatus {
    Active,
    /// It finishes its jobs and takes no new ones
    Draining,
    /// No heartbeat for 15 s
    Dead,
}

impl WorkerStatus {
    pub const ALL: [Self; 3] = [Self::Active, Self::Draining, Self::Dead];

    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Draining => "draining",
            Self::Dead => "dead",
        }
    }
}

/// A page of workers that were seen within a day, by name
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
pub struct WorkerList {
    pub workers: Vec<Worker>,
    /// The live workers that take the jobs of each queue, the preferred first; on every page
    pub job_routing: BTreeMap<String, Vec<String>>,
    /// Null on the last page
    #[schema(required = true)]
    pub next_page_token: Option<String>,
}

/// A schedule
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
pub struct Schedule {
    #[schema(pattern = "^[A-Za-z0-9_-]{1,64}$")]
    pub name: String,
    /// Five fields, or six with seconds first, in UTC
    pub cron: String,
    /// The request that it submits
    #[schema(value_type = ScheduledJobRequest)]
    pub job: Value,
    /// Whether each missed firing is made up for
    pub catch_up: bool,
    /// Whether it comes from the coordinator's file of schedules
    pub from_file: bool,
    pub next_at: DateTime<Utc>,
    #[schema(required = true)]
    pub last_at: Option<DateTime<Utc>>,
    /// Why its last firing made no job, or why it cannot fire
    #[schema(required = true)]
    pub error: Option<String>,
}

/// A page of schedules, by name
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
pub struct ScheduleList {
    pub schedules: Vec<Schedule>,
    /// Null on the last page
    #[schema(required = true)]
    pub next_page_token: Option<String>,
}
