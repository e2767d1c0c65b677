//! Arguments of the loader.

use std::{path::PathBuf, time::Duration};

use events::SensorId;

use crate::logs::LogSpec;

/// Which logs to tail, for which sensor, and how.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Args {
    /// Log to tail, with its rotated siblings; or a glob pattern. May be given several times
    #[arg(
        long = "log",
        env = "COWRIESTREAM_LOG_PATH",
        num_args = 1..,
        value_name = "[SENSOR=]PATH|GLOB",
        required = true
    )]
    pub logs: Vec<LogSpec>,
    /// Sensor id of the logs that name none: A-Z a-z 0-9 _ -, at most 64; never taken from the log
    #[arg(long, env = "COWRIESTREAM_SENSOR", value_name = "NAME")]
    pub sensor: Option<SensorId>,
    /// Directory of the checkpoint
    #[arg(
        long,
        env = "COWRIESTREAM_STATE_DIR",
        default_value = "/var/lib/cowrie-loader",
        value_name = "DIR"
    )]
    pub state_dir: PathBuf,
    /// Read the existing logs, wait until all of them are committed, and exit
    #[arg(long)]
    pub once: bool,
    /// Publish the elements of a line that is a JSON array as events. Only `load` sets it
    #[arg(skip)]
    pub expand_arrays: bool,
    #[command(flatten)]
    /// Limits and intervals
    pub tuning: Tuning,
}

/// Limits and intervals.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Tuning {
    /// Interval at which the files are checked, besides the notifications of the system
    #[arg(
        long,
        env = "COWRIESTREAM_POLL_MS",
        default_value_t = 1000,
        value_parser = clap::value_parser!(u64).range(10..=60_000),
        value_name = "MILLISECONDS"
    )]
    pub poll_ms: u64,
    /// Messages published and not yet acknowledged by the broker, at most; shared by all sensors of this
    /// loader
    #[arg(
        long,
        env = "COWRIESTREAM_IN_FLIGHT",
        default_value_t = 4096,
        value_parser = clap::value_parser!(u32).range(1..=16_384),
        value_name = "N"
    )]
    pub in_flight: u32,
    /// Bytes published and not yet acknowledged by the broker, at most; shared by all sensors of this loader
    #[arg(
        long,
        env = "COWRIESTREAM_IN_FLIGHT_BYTES",
        default_value_t = 8 << 20,
        value_parser = clap::value_parser!(u64).range(1 << 20..=256 << 20),
        value_name = "BYTES"
    )]
    pub in_flight_bytes: u64,
    /// The last line of a rotated file counts as complete after this long without a newline
    #[arg(long, env = "COWRIESTREAM_CLOSE_AFTER_SECONDS", default_value_t = 60, value_name = "SECONDS")]
    pub close_after_seconds: u64,
    /// Event ids to drop, e.g. telnet.option or fra-1=telnet.*: counted, never published
    #[arg(long = "drop", env = "COWRIESTREAM_DROP", value_delimiter = ',', value_name = "[SENSOR=]EVENT")]
    pub drops: Vec<DropSpec>,
}

/// `--drop [SENSOR=]EVENT`: an event id with or without `cowrie.`; a `*` at its end matches any rest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DropSpec {
    sensor: Option<SensorId>,
    event: String,
}

impl std::str::FromStr for DropSpec {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (sensor, event) = match text.split_once('=') {
            Some((sensor, event)) => (Some(sensor.parse()?), event),
            None => (None, text),
        };
        let event = event.strip_prefix("cowrie.").unwrap_or(event);
        let plain = event.strip_suffix('*').unwrap_or(event);
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        anyhow::ensure!(
            !plain.is_empty() && plain.chars().all(allowed),
            "expected an event id like telnet.option or telnet.*"
        );
        Ok(Self { sensor, event: event.to_owned() })
    }
}

impl DropSpec {
    /// Whether this event of this sensor is dropped.
    pub fn matches(&self, sensor: &SensorId, eventid: &str) -> bool {
        let event = eventid.strip_prefix("cowrie.").unwrap_or(eventid);
        let same = self.event.strip_suffix('*').map_or(self.event == event, |start| event.starts_with(start));
        same && self.sensor.as_ref().is_none_or(|mine| mine == sensor)
    }
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            poll_ms: 1000,
            in_flight: 4096,
            in_flight_bytes: 8 << 20,
            close_after_seconds: 60,
            drops: Vec::new(),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_is_named_by_event_and_sensor() {
        let drops = |spec: &str, eventid: &str| {
            spec.parse::<DropSpec>().unwrap().matches(&"fra-1".parse().unwrap(), eventid)
        };
        assert!(drops("telnet.option", "cowrie.telnet.option"));
        assert!(drops("cowrie.telnet.*", "cowrie.telnet.option"));
        assert!(drops("fra-1=telnet.option", "cowrie.telnet.option"));
        assert!(!drops("nyc-1=telnet.option", "cowrie.telnet.option"));
        assert!(!drops("telnet.option", "cowrie.telnet.options"));
        for wrong in ["", "*", "a b", "x y=telnet.option"] {
            assert!(wrong.parse::<DropSpec>().is_err(), "{wrong}");
        }
    }
}
