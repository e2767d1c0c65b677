//! The logs that a command is given.

use std::path::PathBuf;

use events::SensorId;
use loader::logs::{LogSpec, by_sensor, check, discover};

/// Logs of sensors, `local` when none is named.
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
    /// Whose they are.
    pub sensor: SensorId,
    /// Each once, oldest change first.
    pub paths: Vec<PathBuf>,
    patterns: Vec<String>,
}

impl SensorFiles {
    /// The files that there are now: a rotation may have made other ones.
    pub fn now(&self) -> anyhow::Result<Vec<PathBuf>> {
        Ok(discover(&self.patterns)?.into_iter().map(|found| found.path).collect())
    }
}

impl FilesArgs {
    /// Finds the files; an error names what matches nothing.
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
