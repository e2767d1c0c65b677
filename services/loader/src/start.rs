//! Starts to follow the logs of one sensor.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use boot::CancellationToken;
use bus::Bus;
use events::SensorId;
use notify::{RecursiveMode, Watcher};
use tokio::sync::Notify;

use crate::{
    broker::{Broker, Room},
    checkpoint::{self, Checkpoint, CheckpointFile, CheckpointWriter},
    files::Files,
    logs,
    statistics::Statistics,
    tailer::{Settings, Tailer},
};

/// How long `once` waits for the broker's streams before it fails.
const STREAMS_WAIT: Duration = Duration::from_secs(30);
/// After this time the loader says that it waits for the streams.
const STREAMS_WARNING: Duration = Duration::from_secs(5);
/// Pause between attempts to find the streams.
const STREAMS_PAUSE: Duration = Duration::from_millis(200);
/// Pause between attempts to open the checkpoint.
const CHECKPOINT_PAUSE: Duration = Duration::from_secs(1);

/// Follows the logs until stopped, in `once` mode until everything is committed. Returns whether it finished.
pub(crate) async fn follow(
    settings: Settings,
    state_dir: &Path,
    (bus, room): (Bus, Room),
    stop: CancellationToken,
    statistics: Arc<Statistics>,
) -> anyhow::Result<bool> {
    let sensor = settings.sensor.clone();
    let Some((file, checkpoint)) = take_checkpoint(state_dir, &sensor, &statistics, &stop).await? else {
        return Ok(false);
    };
    let changed = Arc::<Notify>::default();
    let _watching = watch(&settings.patterns, &changed);
    let checkpoint = checkpoint.unwrap_or_else(|| Checkpoint::new(sensor.clone()));
    let mut broker = Broker::new(bus, sensor, room, checkpoint.streams).await?;
    wait_for_streams(&mut broker, &stop, settings.once).await?;
    let parts = (broker, Files::new(checkpoint.files), CheckpointWriter::new(file));
    Tailer::new(settings, parts, changed, stop, statistics).run().await
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
            .and_then(|file| file.load(sensor).map(|checkpoint| (file, checkpoint)));
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
async fn wait_for_streams(broker: &mut Broker, stop: &CancellationToken, once: bool) -> anyhow::Result<()> {
    let since = Instant::now();
    let mut warned = false;
    while !broker.has_streams().await && !stop.is_cancelled() {
        if once && since.elapsed() > STREAMS_WAIT {
            anyhow::bail!(
                "the broker has no stream EVENTS: start a processor, or run `cowriestream provision`"
            );
        }
        if !warned && since.elapsed() > STREAMS_WARNING {
            tracing::warn!("found no stream EVENTS yet; waiting until a processor provisions it");
            warned = true;
        }
        tokio::time::sleep(STREAMS_PAUSE).await;
    }
    Ok(())
}

/// Notifies `changed` when something changes in the logs' directories. Where notifications are not available
/// (NFS, limits), only polling notices changes.
fn watch(patterns: &[String], changed: &Arc<Notify>) -> Option<notify::RecommendedWatcher> {
    let notified = changed.clone();
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
            tracing::warn!(
                directory = %directory.display(), %error,
                "could not watch a directory for changes; polling only"
            );
        }
    }
    Some(watcher)
}
