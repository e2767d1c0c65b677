//! Tails Cowrie logs and publishes every event.
//!
//! **Invariant**: the log file is the buffer. The checkpoint moves only over bytes that Postgres has
//! committed. Memory holds byte ranges, never lines. Bytes are published again only on evidence that they
//! were lost.

mod archive;
mod args;
mod checkpoint;
mod descriptors;
mod evidence;
mod flight;
mod heartbeat;
mod input;
pub mod logs;
mod metrics;
mod partial_lines;
mod pieces;
mod reading;
mod scan;
mod segments;
mod statistics;
mod stitching;
mod tailer;
mod tracked;
mod turns;
mod unlisted;

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
    //! Parsers of untrusted bytes, for the fuzz targets.

    pub use crate::{checkpoint::fuzz as checkpoint, input::fuzz as archive};
}

pub use args::{Args, DropSpec, Tuning};
pub use input::{Input, open_patiently};
pub use statistics::{Problem, Statistics, Summary};

use checkpoint::{Checkpoint, CheckpointFile};
use flight::Room;
use tailer::Tailer;

/// Bytes of a file that are read at once.
const CHUNK: usize = 256 * 1024;
/// Files that an error lists, at most.
const NAMED: usize = 20;
/// How long `once` waits for the broker's streams before it fails.
const STREAMS_WAIT: Duration = Duration::from_secs(30);
/// Pause between attempts to open the checkpoint at the start.
const CHECKPOINT_PAUSE: Duration = Duration::from_secs(1);

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
        for (sensor, patterns) in logs::by_sensor(&args.logs, args.sensor.as_ref())? {
            if args.once {
                logs::check(&patterns)?;
            }
            logs::refuse_directories(&patterns)?;
            let statistics = Arc::<Statistics>::default();
            loader.statistics.push((sensor.clone(), statistics.clone()));
            let (args, bus, stop, room) = (args.clone(), bus.clone(), tasks.stop(), room.clone());
            loader.tailing.push(tasks.start(async move {
                follow(args, sensor.clone(), patterns, (bus, room), stop, statistics)
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

async fn follow(
    args: Args,
    sensor: SensorId,
    patterns: Vec<String>,
    (bus, room): (Bus, Room),
    stop: CancellationToken,
    statistics: Arc<Statistics>,
) -> anyhow::Result<bool> {
    let Some((place, checkpoint)) = take_checkpoint(&args.state_dir, &sensor, &statistics, &stop).await?
    else {
        return Ok(false);
    };
    let wake = Arc::<Notify>::default();
    let _watching = watch(&patterns, &wake);
    let (streams, known) =
        checkpoint.map_or(([None; 2], Vec::new()), |checkpoint| (checkpoint.streams, checkpoint.files));
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
        last_receipt: Instant::now(),
        last_request: long_ago,
        paused_until: Instant::now(),
        scanned: long_ago,
        scan_took: Duration::ZERO,
        settling: Default::default(),
        saved: (long_ago, Duration::ZERO),
        save_trouble: None,
        hints: 0,
        last_heartbeat: None,
        reported_lag: 0,
        dirty: false,
        met: false,
        backlog_next: false,
        last_live: 0,
        buffer: vec![0; CHUNK],
        statistics,
    };
    wait_for_streams(&tailer.bus, &tailer.stop, tailer.once).await?;
    tailer.scan()?;
    tailer.find_known()?;
    tailer.ask().await;
    if tailer.files.is_empty() {
        tracing::warn!(patterns = tailer.patterns.join(", "), "no log found yet; waiting for it to appear");
    }
    tailer.run().await
}

/// Opens and reads the checkpoint. Retries while the disk is full or read-only, or no descriptor is free.
/// `None` when the loader is stopped meanwhile.
async fn take_checkpoint(
    directory: &Path,
    sensor: &SensorId,
    statistics: &Statistics,
    stop: &CancellationToken,
) -> anyhow::Result<Option<(CheckpointFile, Option<Checkpoint>)>> {
    let mut warned = None;
    while !stop.is_cancelled() {
        let taken = CheckpointFile::take(directory, sensor)
            .and_then(|place| place.load(sensor).map(|checkpoint| (place, checkpoint)));
        let error = match taken {
            Err(error)
                if error.chain().filter_map(|cause| cause.downcast_ref()).any(checkpoint::may_pass) =>
            {
                format!("{error:#}")
            }
            other => {
                statistics.set_checkpoint_trouble(None);
                return other.map(Some);
            }
        };
        if warned.as_ref() != Some(&error) {
            tracing::warn!(error, "could not open the checkpoint; will retry");
        }
        statistics.set_checkpoint_trouble(Some(error.clone()));
        warned = Some(error);
        tokio::select! {
            () = stop.cancelled() => (),
            () = tokio::time::sleep(CHECKPOINT_PAUSE) => (),
        }
    }
    Ok(None)
}

/// Waits for the streams, in case this role starts before they are provisioned.
async fn wait_for_streams(bus: &Bus, stop: &CancellationToken, once: bool) -> anyhow::Result<()> {
    let since = Instant::now();
    while bus.events_stream().await.ok().flatten().is_none() && !stop.is_cancelled() {
        if once && since.elapsed() > STREAMS_WAIT {
            anyhow::bail!(
                "the broker has no stream EVENTS: start a processor, or run `cowriestream provision`"
            );
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

/// Wakes the tailer when something changes in the logs' directories. Where notifications are not available
/// (NFS, limits), only polling notices changes.
fn watch(patterns: &[String], wake: &Arc<Notify>) -> Option<notify::RecommendedWatcher> {
    let notified = wake.clone();
    // The loader's own reads are accesses, too.
    let on_event = move |event: notify::Result<notify::Event>| {
        if !event.is_ok_and(|event| event.kind.is_access()) {
            notified.notify_one();
        }
    };
    let mut watcher = notify::recommended_watcher(on_event)
        .inspect_err(|error| tracing::warn!(%error, "could not watch for changes; polling only"))
        .ok()?;
    for directory in logs::directories(patterns) {
        if let Err(error) = watcher.watch(Path::new(&directory), RecursiveMode::NonRecursive) {
            tracing::warn!(directory = %directory.display(), %error, "could not watch a directory for changes; polling only");
        }
    }
    Some(watcher)
}
