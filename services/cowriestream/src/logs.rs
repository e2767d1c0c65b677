//! The logs given to a command.

use std::path::PathBuf;

use events::SensorId;
use loader::logs::{LogSpec, by_sensor, check, discover};

/// Logs of sensors; the default sensor is `local`.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct FilesArgs {
    /// Log with its rotated siblings; or a glob pattern. May be given several times
    #[arg(long = "log", num_args = 1.., value_name = "[SENSOR=]PATH|GLOB", required = true)]
    logs: Vec<LogSpec>,
    /// Sensor id of the logs that name none
    #[arg(long, env = "COWRIESTREAM_SENSOR", default_value = "local", value_name = "NAME")]
    sensor: SensorId,
}

/// The files of one sensor.
pub struct SensorFiles {
    pub sensor: SensorId,
    /// Each file once, oldest modification first.
    pub paths: Vec<PathBuf>,
    patterns: Vec<String>,
}

impl SensorFiles {
    /// Finds the files again: a rotation may have created others.
    pub fn now(&self) -> anyhow::Result<Vec<PathBuf>> {
        Ok(discover(&self.patterns)?.into_iter().map(|found| found.path).collect())
    }
}

impl FilesArgs {
    /// Finds the files; fails if a pattern matches nothing.
    pub fn resolve(&self) -> anyhow::Result<Vec<SensorFiles>> {
        let mut all = Vec::new();
        for (sensor, patterns) in by_sensor(&self.logs, Some(&self.sensor))? {
            check(&patterns)?;
            let paths = discover(&patterns)?.into_iter().map(|found| found.path).collect();
            all.push(SensorFiles { sensor, paths, patterns });
        }
        Ok(all)
    }
}
