//! What a worker says of itself.

use serde::{Deserialize, Serialize};

/// A worker as it registers.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct WorkerSpec {
    /// By which preferences and exclusive queues know it.
    pub name: String,
    /// `name@host`.
    pub hostname: String,
    /// `native` or `containerized`.
    #[serde(rename = "type")]
    pub place: String,
    /// `linux-amd64`.
    pub platform: String,
    /// Jobs at the same time.
    pub concurrency: i32,
    /// The queues it serves.
    pub queues: Vec<Preference>,
    /// The job types it knows.
    pub job_types: Vec<String>,
    /// What its machine has.
    pub capabilities: Capabilities,
}

/// A queue that a worker serves.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Preference {
    /// Its name.
    pub queue: String,
    /// The higher, the earlier this worker is asked.
    pub priority: i32,
    /// Only exclusive workers take its jobs.
    pub exclusive: bool,
}

/// What a machine has.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Capabilities {
    /// `none`, `nvidia_cuda`, `apple_neural_engine`.
    pub accelerator: String,
    /// GiB.
    pub memory_gb: f64,
    /// Cores.
    pub cpu_cores: i32,
}
