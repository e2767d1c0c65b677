//! Follows the logs of one sensor. One loop reads, publishes, and processes acknowledgements and receipts.

mod answers;
mod evidence;
mod finish;
mod gaps;
mod heartbeat;
mod publish;
mod read;
mod save;
mod scan;
mod unlisted;

use std::{
    collections::{BTreeSet, HashMap},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use boot::CancellationToken;
use events::{Envelope, SensorId};
use tokio::sync::Notify;

use crate::{
    args::Tuning,
    broker::{Broker, Incoming},
    checkpoint::{CheckpointWriter, Stamp},
    file::LogFile,
    files::Files,
    statistics::Statistics,
    timers::Timers,
};

/// How much of a file is read at once, in bytes.
const CHUNK: usize = 256 * 1024;
/// Interval of the duties in `tick`: compare streams, write the checkpoint, finish files.
const TICK: Duration = Duration::from_secs(1);
/// How long to wait for acknowledgements when stopping.
const LAST_ACKS: Duration = Duration::from_secs(5);

/// What the arguments say about one sensor.
pub(crate) struct Settings {
    pub sensor: SensorId,
    pub patterns: Vec<String>,
    pub tuning: Tuning,
    pub once: bool,
    pub expand_arrays: bool,
}

impl Settings {
    /// Whether `--drop` names this event.
    fn drops(&self, event: &Envelope) -> bool {
        self.tuning.drops.iter().any(|spec| spec.matches(&self.sensor, &event.eventid))
    }
}

/// The loader of one sensor.
pub(crate) struct Tailer {
    settings: Settings,
    stop: CancellationToken,
    /// Something changed in the directories of the logs.
    changed: Arc<Notify>,
    broker: Broker,
    files: Files,
    checkpoint: CheckpointWriter,
    timers: Timers,
    /// Archives that may still be being written, by device and inode: their state, and since when it has not
    /// changed.
    settling: HashMap<(u64, u64), (Stamp, Instant)>,
    /// Directories and files that the last scan could not read.
    unseen: BTreeSet<PathBuf>,
    /// Number of warnings about files that seem not to be Cowrie's JSON log.
    hints: u32,
    buffer: Vec<u8>,
    statistics: Arc<Statistics>,
}

impl Tailer {
    pub fn new(
        settings: Settings,
        (broker, files, checkpoint): (Broker, Files, CheckpointWriter),
        changed: Arc<Notify>,
        stop: CancellationToken,
        statistics: Arc<Statistics>,
    ) -> Self {
        Self {
            settings,
            stop,
            changed,
            broker,
            files,
            checkpoint,
            timers: Timers::new(),
            settling: HashMap::new(),
            unseen: BTreeSet::new(),
            hints: 0,
            buffer: vec![0; CHUNK],
            statistics,
        }
    }

    /// Finds the files and follows them until stopped, in `once` mode until everything is committed. Returns
    /// whether it finished.
    pub async fn run(mut self) -> anyhow::Result<bool> {
        self.scan()?;
        self.find_known()?;
        self.request_receipts().await;
        if self.files.is_empty() {
            let patterns = self.settings.patterns.join(", ");
            tracing::warn!(patterns, "no log found yet; waiting for it to appear");
        }
        let finished = self.follow().await?;
        self.end().await?;
        Ok(finished)
    }

    async fn follow(&mut self) -> anyhow::Result<bool> {
        let mut next_tick = Instant::now();
        loop {
            self.take_outcomes();
            self.take_receipts()?;
            if Instant::now() >= next_tick {
                self.tick().await?;
                next_tick = Instant::now() + TICK.min(self.settings.tuning.poll());
            }
            if self.stop.is_cancelled() {
                return Ok(false);
            }
            if self.settings.once && self.is_settled() {
                return Ok(true);
            }
            if self.may_read() && self.read_chunk().await {
                tokio::task::yield_now().await;
                continue;
            }
            self.wait(next_tick).await?;
        }
    }

    /// Periodic duties: every `TICK`, or every `--poll-ms` if that is shorter.
    async fn tick(&mut self) -> anyhow::Result<()> {
        if self.timers.is_scan_due(self.settings.tuning.poll()) {
            self.scan()?;
        }
        if self.broker.is_connected() {
            self.look_for_evidence().await;
        }
        self.publish_lost().await;
        self.finish_files().await;
        if self.checkpoint.is_due() {
            self.save();
        }
        self.send_heartbeat(false).await;
        Ok(())
    }

    /// Whether to read. Nothing is read while the broker is unreachable: the log file is the buffer.
    fn may_read(&self) -> bool {
        !self.stop.is_cancelled() && self.broker.can_publish()
    }

    /// Waits for the first of: an outcome, receipts, a change on disk, the next tick, stop.
    async fn wait(&mut self, until: Instant) -> anyhow::Result<()> {
        let until = self.broker.paused_until().map_or(until, |paused| until.min(paused));
        let incoming = tokio::select! {
            () = self.stop.cancelled() => None,
            incoming = self.broker.next() => Some(incoming?),
            () = self.changed.notified() => return self.look_again(),
            () = tokio::time::sleep_until(until.into()) => None,
        };
        match incoming {
            Some(Incoming::Outcome(sent, outcome)) => self.take_outcome(&sent, outcome),
            Some(Incoming::Receipts(receipts)) => self.take_receipt(&receipts),
            None => (),
        }
        Ok(())
    }

    /// Whether everything that was found is read to its end and committed.
    fn is_settled(&self) -> bool {
        !self.broker.has_in_flight() && self.files.values().all(LogFile::is_settled)
    }

    /// Stops: takes the last acknowledgements, writes the checkpoint, sends the last heartbeat.
    async fn end(&mut self) -> anyhow::Result<()> {
        let deadline = tokio::time::Instant::now() + LAST_ACKS;
        while self.broker.has_in_flight() {
            let next = tokio::time::timeout_at(deadline, self.broker.next_outcome()).await;
            let Ok((sent, outcome)) = next else { break };
            self.take_outcome(&sent, outcome);
        }
        self.take_receipts()?;
        self.complete_files();
        self.checkpoint.mark(true);
        self.save_at_end().await;
        self.send_heartbeat(true).await;
        Ok(())
    }
}
