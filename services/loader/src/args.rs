//! What the loader may be told.

use std::{path::PathBuf, time::Duration};

use events::SensorId;

use crate::logs::LogSpec;

/// Which logs, for which sensor, and how.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Args {
    /// Log to tail, with its rotated siblings; or a glob pattern. May be given several times
    #[arg(long = "log", env = "COWRIESTREAM_LOG_PATH", num_args = 1.., value_name = "[SENSOR=]PATH|GLOB", required = true)]
    pub logs: Vec<LogSpec>,
    /// Sensor id of the logs that name none: A-Z a-z 0-9 _ -, at most 64; never taken from the log
    #[arg(long, env = "COWRIESTREAM_SENSOR", value_name = "NAME")]
    pub sensor: Option<SensorId>,
    /// Where the checkpoint is kept
    #[arg(long, env = "COWRIESTREAM_STATE_DIR", default_value = "/var/lib/cowrie-loader", value_name = "DIR")]
    pub state_dir: PathBuf,
    /// Read what is there, wait until all of it is committed, and end
    #[arg(long)]
    pub once: bool,
    #[command(flatten)]
    /// Limits and intervals
    pub tuning: Tuning,
}

/// Limits and intervals.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Tuning {
    /// How often the files are looked at, besides when the system tells of a change
    #[arg(long, env = "COWRIESTREAM_POLL_MS", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(10..=60_000), value_name = "MILLISECONDS")]
    pub poll_ms: u64,
    /// Most messages published and not yet acknowledged by the broker
    #[arg(long, env = "COWRIESTREAM_IN_FLIGHT", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..=16_384), value_name = "N")]
    pub in_flight: u32,
    /// Most bytes published and not yet acknowledged by the broker
    #[arg(long, env = "COWRIESTREAM_IN_FLIGHT_BYTES", default_value_t = 8 << 20, value_parser = clap::value_parser!(u64).range(1 << 20..=256 << 20), value_name = "BYTES")]
    pub in_flight_bytes: u64,
    /// After how much silence a rotated file's last line counts as ended although no newline follows
    #[arg(long, env = "COWRIESTREAM_CLOSE_AFTER_SECONDS", default_value_t = 60, value_name = "SECONDS")]
    pub close_after_seconds: u64,
}

impl Default for Tuning {
    fn default() -> Self {
        Self { poll_ms: 1000, in_flight: 4096, in_flight_bytes: 8 << 20, close_after_seconds: 60 }
    }
}

impl Tuning {
    pub(crate) fn poll(&self) -> Duration {
        Duration::from_millis(self.poll_ms)
    }

    pub(crate) fn close_after(&self) -> Duration {
        Duration::from_secs(self.close_after_seconds)
    }
}
