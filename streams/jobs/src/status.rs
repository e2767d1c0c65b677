//! How a job is doing.

use std::{fmt, str::FromStr};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Where a job stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
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
    /// Every state.
    pub const ALL: [Self; 6] =
        [Self::Queued, Self::InProgress, Self::Retrying, Self::Completed, Self::Failed, Self::Cancelled];

    /// Its name.
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

    /// Whether nothing more happens by itself.
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

/// A status, as everybody is told it: over gRPC and REST, on `cowrie.status.<job_id>`, and in Redis.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Status {
    /// The job.
    pub job_id: Uuid,
    /// Where it stands.
    pub state: State,
    /// 0 to 100; never falls within an attempt.
    pub progress_percent: f64,
    /// In words.
    pub current_step: Option<String>,
    /// Sessions (or other units) done.
    pub sessions_processed: Option<i64>,
    /// And how many there are.
    pub total_sessions: Option<i64>,
    /// As far as can be told.
    pub estimated_completion: Option<DateTime<Utc>>,
    /// Who runs it, or ran it last.
    pub worker: Option<String>,
    /// 0 before the first.
    pub attempt: i32,
    /// Why it failed, or is tried again.
    pub error: Option<JobError>,
    /// Of this status.
    pub updated_at: DateTime<Utc>,
    /// Rises with every change.
    pub version: i64,
}

/// Why an attempt failed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct JobError {
    /// A short name: `Timeout`, `WorkerLost`, `Panic`.
    #[serde(rename = "type")]
    pub kind: String,
    /// In words.
    pub message: String,
}
