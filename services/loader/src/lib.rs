//! Tails Cowrie logs and publishes every event.
//!
//! **Invariant**: the log file is the buffer. The checkpoint moves only over bytes that Postgres has
//! committed. Memory holds byte ranges, never lines. Bytes are published again only on evidence that they
//! were lost.

mod archive;
mod args;
mod broker;
mod checkpoint;
mod descriptors;
mod file;
mod files;
mod input;
pub mod logs;
mod metrics;
mod pieces;
mod search;
mod start;
mod statistics;
mod tailer;
mod timers;

use std::sync::Arc;

use anyhow::Context as _;
use boot::Tasks;
use bus::Bus;
use events::SensorId;

#[doc(hidden)]
pub mod fuzzing {
    //! Parsers of untrusted bytes, for the fuzz targets.

    pub use crate::{checkpoint::fuzz as checkpoint, input::fuzz as archive};
}

pub use args::{Args, DropSpec, Tuning};
pub use input::{Input, open_patiently};
pub use statistics::{Problem, Statistics, Summary};

use broker::Room;
use tailer::Settings;

/// Files that an error lists, at most.
const NAMED: usize = 20;

/// A loader of one or more sensors.
pub struct Loader {
    /// The counters of each sensor.
    pub statistics: Vec<(SensorId, Arc<Statistics>)>,
    tailing: Vec<boot::Task<anyhow::Result<bool>>>,
}

impl Loader {
    /// Starts to follow these logs until `tasks` stop, or in `once` mode until everything is committed.
    pub async fn start(args: &Args, bus: &Bus, tasks: &Tasks) -> anyhow::Result<Self> {
        metrics::describe();
        let mut loader = Self { statistics: Vec::new(), tailing: Vec::new() };
        let room = Room::new(&args.tuning);
        logs::warn_of_folders(&args.logs, args.sensor.as_ref());
        for (sensor, patterns) in logs::by_sensor(&args.logs, args.sensor.as_ref())? {
            if args.once {
                logs::check(&patterns)?;
            }
            logs::refuse_directories(&patterns)?;
            let statistics = Arc::<Statistics>::default();
            loader.statistics.push((sensor.clone(), statistics.clone()));
            let settings = Settings {
                sensor: sensor.clone(),
                patterns,
                tuning: args.tuning.clone(),
                once: args.once,
                expand_arrays: args.expand_arrays,
            };
            let (state_dir, bus, stop, room) =
                (args.state_dir.clone(), bus.clone(), tasks.stop(), room.clone());
            loader.tailing.push(tasks.start(async move {
                start::follow(settings, &state_dir, (bus, room), stop, statistics)
                    .await
                    .with_context(|| format!("load sensor {sensor}"))
            }));
        }
        Ok(loader)
    }

    /// Waits until every sensor's task has ended. Returns whether all of them finished.
    pub async fn finish(self) -> anyhow::Result<bool> {
        // The first error ends the wait.
        let all = futures::future::try_join_all(
            self.tailing.into_iter().map(async |tailing| tailing.result().await?),
        )
        .await?;
        Ok(all.into_iter().all(|finished| finished))
    }

    /// Fails if some files could not be read to their ends, and lists them; for `once`.
    pub fn check_files(statistics: &[(SensorId, Arc<Statistics>)]) -> anyhow::Result<()> {
        let problems: Vec<_> = statistics.iter().flat_map(|(_, one)| one.problems()).collect();
        if problems.is_empty() {
            return Ok(());
        }
        let named: Vec<_> = problems.iter().take(NAMED).map(ToString::to_string).collect();
        let more = if problems.len() > NAMED {
            format!("; and {} more", problems.len() - NAMED)
        } else {
            String::new()
        };
        anyhow::bail!("not all files could be read whole: {}{more}", named.join("; "))
    }

    /// Makes readiness depend on a writable checkpoint.
    pub fn report_to(&self, health: &boot::Health) {
        let statistics = self.statistics.clone();
        health.needs("checkpoint", move || statistics.iter().all(|(_, one)| one.is_checkpoint_writable()));
    }

    /// The sum of all sensors' counters.
    pub fn summary(statistics: &[(SensorId, Arc<Statistics>)]) -> Summary {
        statistics.iter().map(|(_, one)| one.summary()).fold(Summary::default(), |sum, one| sum + one)
    }
}
