//! How a job is doing.

use std::{fmt, str::FromStr};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// The state of a job
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Queued,
    InProgress,
    Retrying,
    Completed,
    Failed,
    Cancelled,
}

impl State {
    pub const ALL: [Self; 6] =
        [Self::Queued, Self::InProgress, Self::Retrying, Self::Completed, Self::Failed, Self::Cancelled];

    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::InProgress => "in_progress",
            Self::Retrying => "retrying",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether the job has ended.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for State {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|state| state.name() == text).ok_or_else(|| {
            format!(
                "unknown state {:?}; known: queued, in_progress, retrying, completed, failed, cancelled",
                text.chars().take(40).collect::<String>()
            )
        })
    }
}

/// How a job is doing: as in gRPC, REST, on `cowrie.status.<job_id>`, and in Redis
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Status {
    pub job_id: Uuid,
    pub state: State,
    /// Never falls within an attempt
    #[schema(minimum = 0, maximum = 100)]
    pub progress_percent: f64,
    /// In words
    #[schema(required = true)]
    pub current_step: Option<String>,
    /// Sessions that the job has read; null for a job that does not read sessions
    #[schema(required = true)]
    pub sessions_processed: Option<i64>,
    /// Sessions that the job reads in all; null for a job that does not read sessions
    #[schema(required = true)]
    pub total_sessions: Option<i64>,
    /// Estimated; null while there is too little progress
    #[schema(required = true)]
    pub estimated_completion: Option<DateTime<Utc>>,
    /// The worker that runs it, or ran it last
    #[schema(required = true)]
    pub worker: Option<String>,
    /// Number of the attempt; 0 before the first one
    pub attempt: i32,
    /// Attempts that ended through no fault of the job: they do not count
    #[serde(default)]
    #[schema(required = true)]
    pub uncounted_attempts: i32,
    /// Attempts that may still start before the job is given up; 0 when it has ended
    #[serde(default)]
    #[schema(required = true)]
    pub attempts_left: i32,
    /// The next attempt does not start before this time; null while an attempt runs, and when the job has
    /// ended
    #[serde(default)]
    #[schema(required = true)]
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// Why the last attempt failed; null when the job was retried, runs or has completed
    #[schema(required = true)]
    pub error: Option<JobError>,
    pub updated_at: DateTime<Utc>,
    /// Rises with every change of the job
    pub version: i64,
}

/// Why an attempt failed
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct JobError {
    /// A short name: Timeout, WorkerLost, Panic
    #[serde(rename = "type")]
    pub kind: String,
    /// In words
    pub message: String,
}
