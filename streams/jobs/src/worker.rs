//! What a worker registers.

use fields::Name;
use serde::{Deserialize, Serialize};

/// Most queues, and most job types, of a worker.
const MOST_QUEUES: usize = 64;
/// Highest preference of a queue.
const HIGHEST_PREFERENCE: i32 = 1_000_000;
/// Most memory of a worker, in GiB.
const MOST_MEMORY_GB: f64 = 1_048_576.0;
/// Most cores of a worker.
const MOST_CORES: i32 = 65_536;

/// A worker as it registers.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct WorkerSpec {
    pub name: String,
    /// `name@host`.
    pub hostname: String,
    /// `native` or `containerized`.
    #[serde(rename = "type")]
    pub place: String,
    /// `linux-amd64`.
    pub platform: String,
    /// Most jobs at the same time.
    pub concurrency: i32,
    pub queues: Vec<Preference>,
    pub job_types: Vec<String>,
    pub capabilities: Capabilities,
}

impl WorkerSpec {
    /// Checks each value; returns the first wrong one.
    pub fn check(&self) -> Result<(), String> {
        let short = |text: &str| text.len() <= 200 && !text.chars().any(char::is_control);
        let Capabilities { accelerator, memory_gb, cpu_cores } = &self.capabilities;
        self.name.parse::<Name>().map_err(|error| format!("name: {error}"))?;
        if !(1..=256).contains(&self.concurrency) {
            return Err(format!("concurrency {}: expected 1 to 256", self.concurrency));
        }
        if self.queues.is_empty() || self.queues.len() > MOST_QUEUES || self.job_types.len() > MOST_QUEUES {
            return Err(format!(
                "{} queues and {} job types: expected 1 to {MOST_QUEUES} queues and at most {MOST_QUEUES} job types",
                self.queues.len(),
                self.job_types.len()
            ));
        }
        for (n, Preference { queue, priority, .. }) in self.queues.iter().enumerate() {
            queue.parse::<Name>().map_err(|error| format!("queue: {error}"))?;
            if self.queues[..n].iter().any(|other| other.queue == *queue) {
                return Err(format!("queue {queue} is named twice"));
            }
            if !(0..=HIGHEST_PREFERENCE).contains(priority) {
                return Err(format!(
                    "priority {priority} of queue {queue}: expected 0 to {HIGHEST_PREFERENCE}"
                ));
            }
        }
        if !(0.0..=MOST_MEMORY_GB).contains(memory_gb) {
            return Err(format!("memory_gb {memory_gb}: expected a number of at most {MOST_MEMORY_GB}"));
        }
        if !(0..=MOST_CORES).contains(cpu_cores) {
            return Err(format!("cpu_cores {cpu_cores}: expected at most {MOST_CORES}"));
        }
        if ![&self.hostname, &self.place, &self.platform, accelerator]
            .into_iter()
            .chain(&self.job_types)
            .all(|text| short(text))
        {
            return Err("expected texts of at most 200 characters without control characters".to_owned());
        }
        Ok(())
    }
}

/// A queue that a worker serves
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Preference {
    pub queue: String,
    /// Of the workers that may take a job, those with the highest are asked first
    pub priority: i32,
    /// Only workers for which the queue is exclusive may take its jobs
    pub exclusive: bool,
}

/// What a worker's machine has
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Capabilities {
    /// none, nvidia_cuda, apple_neural_engine
    pub accelerator: String,
    pub memory_gb: f64,
    pub cpu_cores: i32,
}
