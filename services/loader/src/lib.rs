//! Tails Cowrie logs and publishes every event.
//!
//! **Invariant**: the log file is the buffer. The checkpoint moves only over bytes that Postgres has committed, memory holds
//! byte ranges and never lines, and bytes are published again only on evidence that they were lost.

mod args;
mod beat;
mod checkpoint;
mod evidence;
mod flight;
mod input;
pub mod logs;
mod neighbours;
mod parts;
mod reading;
mod scan;
mod segments;
mod statistics;
mod tailer;
mod tracked;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use boot::{CancellationToken, Tasks};
use bus::Bus;
use events::SensorId;
use notify::{RecursiveMode, Watcher};
use tokio::sync::Notify;

#[doc(hidden)]
pub mod fuzzing {
    //! Parsers of outside bytes, for the fuzz targets.

    pub use crate::{checkpoint::fuzz as checkpoint, input::fuzz as archive};
}

pub use args::{Args, DropSpec, Tuning};
pub use input::decompressed;
pub use statistics::{Statistics, Summary};

use checkpoint::CheckpointFile;
use flight::Room;
use tailer::Tailer;

/// How much of a file is read in one turn, in bytes.
const CHUNK: usize = 256 * 1024;
/// How long `once` waits for the broker's streams before it says that they are missing.
const STREAMS_WAIT: Duration = Duration::from_secs(30);

/// A loader of one or several sensors.
pub struct Loader {
    /// Each sensor's counters.
    pub statistics: Vec<(SensorId, Arc<Statistics>)>,
    tailing: Vec<boot::Task<anyhow::Result<bool>>>,
}

impl Loader {
    /// Starts following these logs until `tasks` stop, or in `once` mode until everything is committed.
    pub async fn start(args: &Args, bus: &Bus, tasks: &Tasks) -> anyhow::Result<Self> {
        let mut loader = Self { statistics: Vec::new(), tailing: Vec::new() };
        let room = Room::new(&args.tuning);
        for (sensor, patterns) in logs::by_sensor(&args.logs, args.sensor.as_ref())? {
            if args.once {
                logs::check(&patterns)?;
            }
            let statistics = Arc::<Statistics>::default();
            let place = CheckpointFile::take(&args.state_dir, &sensor)?;
            loader.statistics.push((sensor.clone(), statistics.clone()));
            let (args, bus, stop, room) = (args.clone(), bus.clone(), tasks.stop(), room.clone());
            loader.tailing.push(tasks.start(async move {
                follow(args, sensor.clone(), patterns, (bus, room), stop, place, statistics).await.with_context(|| format!("load sensor {sensor}"))
            }));
        }
        Ok(loader)
    }

    /// Waits until every sensor's tailing ended; whether all were finished.
    pub async fn finish(self) -> anyhow::Result<bool> {
        // The first that fails ends the wait.
        let all = futures::future::try_join_all(self.tailing.into_iter().map(async |tailing| tailing.result().await?)).await?;
        Ok(all.into_iter().all(|finished| finished))
    }

    /// All sensors' counters together.
    pub fn summary(statistics: &[(SensorId, Arc<Statistics>)]) -> Summary {
        statistics.iter().map(|(_, one)| one.summary()).fold(Summary::default(), |sum, one| sum + one)
    }
}

async fn follow(
    args: Args,
    sensor: SensorId,
    patterns: Vec<String>,
    (bus, room): (Bus, Room),
    stop: CancellationToken,
    place: CheckpointFile,
    statistics: Arc<Statistics>,
) -> anyhow::Result<bool> {
    let wake = Arc::<Notify>::default();
    let _watching = watch(&patterns, &wake);
    let checkpoint = place.load(&sensor)?;
    let (streams, known) = checkpoint.map_or(([None; 2], Vec::new()), |checkpoint| (checkpoint.streams, checkpoint.files));
    let receipts = bus.receipts(&sensor).await?;
    let long_ago = Instant::now().checked_sub(Duration::from_secs(3600)).unwrap_or_else(Instant::now);
    let mut tailer = Tailer {
        sensor,
        patterns,
        tuning: args.tuning,
        once: args.once,
        expand_arrays: args.expand_arrays,
        bus,
        stop,
        wake,
        place,
        known,
        files: Default::default(),
        next_key: 0,
        flight: Default::default(),
        room,
        receipts,
        streams,
        marks: [None; 2],
        stream_missing: false,
        rolled_back: false,
        suspicious: false,
        heard: Instant::now(),
        asked: long_ago,
        resting_until: Instant::now(),
        scanned: long_ago,
        beaten: None,
        told_lag: 0,
        dirty: false,
        backlog_next: false,
        last_live: 0,
        buffer: vec![0; CHUNK],
        statistics,
    };
    wait_for_streams(&tailer.bus, &tailer.stop, tailer.once).await?;
    tailer.scan()?;
    tailer.keep_all_lost()?;
    tailer.ask().await;
    if tailer.files.is_empty() {
        tracing::warn!(patterns = tailer.patterns.join(", "), "no log found yet: waiting for it to appear");
    }
    tailer.run().await
}

/// A role started before its streams are provisioned waits for them.
async fn wait_for_streams(bus: &Bus, stop: &CancellationToken, once: bool) -> anyhow::Result<()> {
    let since = Instant::now();
    while bus.events_stream().await.ok().flatten().is_none() && !stop.is_cancelled() {
        if once && since.elapsed() > STREAMS_WAIT {
            anyhow::bail!("the broker has no stream EVENTS: start a processor, or run `cowriestream provision`");
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

/// Tells of changes in the logs' directories. Where that is not to be had (NFS, limits), polling does it alone.
fn watch(patterns: &[String], wake: &Arc<Notify>) -> Option<notify::RecommendedWatcher> {
    let told = wake.clone();
    // Our own looking is an access too.
    let heard = move |event: notify::Result<notify::Event>| {
        if !event.is_ok_and(|event| event.kind.is_access()) {
            told.notify_one();
        }
    };
    let mut watcher = notify::recommended_watcher(heard).inspect_err(|error| tracing::warn!(%error, "cannot watch for changes: polling only")).ok()?;
    for directory in logs::directories(patterns) {
        if let Err(error) = watcher.watch(Path::new(&directory), RecursiveMode::NonRecursive) {
            tracing::warn!(directory = %directory.display(), %error, "cannot watch for changes here: polling only");
        }
    }
    Some(watcher)
}
