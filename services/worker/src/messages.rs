//! Messages between a worker and the process of an attempt, one JSON object per line.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::jobs::Claimed;

/// The attempt to run, on the standard input of the process.
#[derive(Serialize, Deserialize)]
pub(crate) struct Assignment {
    pub claimed: Claimed,
    pub worker: String,
    pub database_url: String,
    pub memory_mib: u32,
}

/// What the process reports on its standard output: progress, then its end.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ChildMessage {
    Progress(jobs::Status),
    Completed(Value),
    Retry(String),
    GiveUp(String),
    Interrupted(String),
    LeaseLost,
    Stopped,
}

/// Sends a message to the worker.
pub(crate) fn send(message: &ChildMessage) {
    boot::say!("{}", serde_json::to_string(message).unwrap_or_default());
}
