//! Follows the logs of one sensor. One loop reads, publishes, and processes acknowledgements and receipts.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use boot::CancellationToken;
use bus::{Bus, PublishError, Published, Receipts, ReceiptsStream, StreamMark};
use events::SensorId;
use futures::{FutureExt, StreamExt};
use tokio::sync::Notify;

use crate::{
    args::Tuning,
    checkpoint::{CheckpointFile, FilePoint, Stamp, StreamSeen},
    flight::{Flight, Room, Sent, Taken},
    statistics::Statistics,
    tracked::Tracked,
};

/// Interval of the duties in `tick`: compare streams, write the checkpoint, finish files.
const TICK: Duration = Duration::from_secs(1);
/// How long to wait for acknowledgements when stopping.
const LAST_ACKS: Duration = Duration::from_secs(5);
/// Pause after something could not be published.
pub(crate) const PAUSE: Duration = Duration::from_millis(250);

/// Indices of the two streams in arrays.
pub(crate) const EVENTS: usize = 0;
pub(crate) const DEAD: usize = 1;

/// The state of one sensor's loader.
pub(crate) struct Tailer {
    pub sensor: SensorId,
    pub patterns: Vec<String>,
    pub tuning: Tuning,
    pub once: bool,
    pub expand_arrays: bool,
    pub bus: Bus,
    pub stop: CancellationToken,
    pub wake: Arc<Notify>,
    pub place: CheckpointFile,
    /// Files of the checkpoint that were not found yet.
    pub known: Vec<FilePoint>,
    pub files: BTreeMap<u64, Tracked>,
    pub next_key: u64,
    pub flight: Flight,
    /// Shared by all sensors of this loader.
    pub room: Room,
    pub receipts: ReceiptsStream,
    pub streams: [Option<StreamSeen>; 2],
    pub marks: [Option<StreamMark>; 2],
    /// A stream does not exist now.
    pub stream_missing: bool,
    /// A sequence went back: the broker was restored from a backup.
    pub rolled_back: bool,
    /// Receipts have less than is known here: ask for all receipts.
    pub suspicious: bool,
    pub last_receipt: Instant,
    pub last_request: Instant,
    pub paused_until: Instant,
    pub scanned: Instant,
    /// How long the last scan took.
    pub scan_took: Duration,
    /// Archives that may still be being written, by device and inode: their state, and since when it has not
    /// changed.
    pub settling: HashMap<(u64, u64), (Stamp, Instant)>,
    /// When the checkpoint was last written, and how long that took.
    pub saved: (Instant, Duration),
    /// Number of warnings about files that seem not to be Cowrie's JSON log.
    pub hints: u32,
    /// Why the checkpoint could not be written.
    pub save_trouble: Option<String>,
    pub last_heartbeat: Option<Instant>,
    /// The lag in the last heartbeat.
    pub reported_lag: u64,
    pub dirty: bool,
    /// A new file was found since the checkpoint was written.
    pub met: bool,
    pub backlog_next: bool,
    pub last_live: u64,
    pub buffer: Vec<u8>,
    pub statistics: Arc<Statistics>,
}

impl Tailer {
    /// Runs until stopped, in `once` mode until everything is committed. Returns whether it finished.
    pub async fn run(mut self) -> anyhow::Result<bool> {
        let mut next_tick = Instant::now();
        let finished = loop {
            self.take_acks();
            self.take_receipts()?;
            if Instant::now() >= next_tick {
                self.tick().await?;
                next_tick = Instant::now() + TICK.min(self.tuning.poll());
            }
            if self.stop.is_cancelled() {
                break false;
            }
            if self.once && self.is_settled() {
                break true;
            }
            if self.may_read() && self.read_turn().await {
                tokio::task::yield_now().await;
                continue;
            }
            self.wait(next_tick).await?;
        };
        self.end().await?;
        Ok(finished)
    }

    /// Periodic duties: every `TICK`, or every `--poll-ms` if that is shorter.
    async fn tick(&mut self) -> anyhow::Result<()> {
        if self.scanned.elapsed() >= self.tuning.poll().max(self.scan_gap()) {
            self.scan()?;
        }
        if self.bus.connected() {
            self.look_for_evidence().await;
        }
        self.publish_lost().await;
        self.finish_files().await;
        self.save();
        self.heartbeat(false).await;
        Ok(())
    }

    /// Whether to read. Nothing is read while the broker is unreachable: the log file is the buffer.
    pub fn may_read(&self) -> bool {
        !self.stop.is_cancelled()
            && self.bus.connected()
            && !self.stream_missing
            && Instant::now() >= self.paused_until
    }

    /// Waits for the first of: an outcome, receipts, a change on disk, the next tick, stop.
    async fn wait(&mut self, until: Instant) -> anyhow::Result<()> {
        let until = if Instant::now() < self.paused_until { until.min(self.paused_until) } else { until };
        enum Wakeup {
            Outcome(Sent, Result<Published, PublishError>),
            Receipts(Option<Receipts>),
            Change,
            Nothing,
        }
        let wakeup = tokio::select! {
            () = self.stop.cancelled() => Wakeup::Nothing,
            (sent, outcome) = self.flight.next() => Wakeup::Outcome(sent, outcome),
            receipts = self.receipts.next() => Wakeup::Receipts(receipts),
            () = self.wake.notified() => Wakeup::Change,
            () = tokio::time::sleep_until(until.into()) => Wakeup::Nothing,
        };
        match wakeup {
            Wakeup::Outcome(sent, outcome) => self.take_ack(&sent, outcome),
            Wakeup::Receipts(receipts) => {
                self.take_receipt(&receipts.context("the subscription to receipts ended")?)
            }
            Wakeup::Change => self.look_again()?,
            Wakeup::Nothing => (),
        }
        Ok(())
    }

    /// Processes the acknowledgements that have arrived.
    fn take_acks(&mut self) {
        self.flight.note_connections(self.bus.connections());
        while let Some((sent, outcome)) = self.flight.take() {
            self.take_ack(&sent, outcome);
        }
    }

    /// Waits until a message of this size may be in flight. `None` when it must not be published now: the
    /// loader stops, or its file will be read again from an earlier offset.
    pub async fn room(&mut self, key: u64, epoch: u64, bytes: u64) -> Option<Taken> {
        if let Some(taken) = self.room.try_take(bytes) {
            return Some(taken);
        }
        let mut taking = std::pin::pin!(self.room.clone().take(bytes));
        let taken = loop {
            self.flight.note_connections(self.bus.connections());
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return None,
                taken = &mut taking => break taken?,
                // Another sensor may wait for the room that this frees.
                (sent, outcome) = self.flight.next() => self.take_ack(&sent, outcome),
                // Wake up to notice a reconnect, which shortens the deadline.
                () = tokio::time::sleep(TICK) => (),
            }
        };
        self.files.get(&key).is_some_and(|file| file.epoch == epoch).then_some(taken)
    }

    fn take_ack(&mut self, sent: &Sent, outcome: Result<Published, PublishError>) {
        match outcome {
            Ok(published) => self.acknowledged(sent, published),
            Err(error) => self.not_published(sent, &error),
        }
    }

    fn acknowledged(&mut self, sent: &Sent, published: Published) {
        if let Some(seen) = &mut self.streams[sent.stream] {
            // Messages on one connection keep their order, so a later message has a higher sequence, unless
            // the stream was rolled back in between.
            if !published.duplicate && published.seq <= seen.high {
                self.rolled_back = true;
            }
            seen.high = seen.high.max(published.seq);
        }
        let Some(file) = self.files.get_mut(&sent.file).filter(|file| file.epoch == sent.epoch) else { return };
        if published.duplicate && file.attempt(sent.start) == 0 {
            // The broker dropped it as a duplicate of an identical line. These bytes need a message of their
            // own, or they never get a receipt.
            file.repeat_from(sent.start);
            self.flight.forget(sent.file);
            return;
        }
        file.segments.acknowledged(sent.start, sent.stream, published.seq);
    }

    /// After a pause, reads and publishes the message again.
    fn not_published(&mut self, sent: &Sent, error: &PublishError) {
        tracing::debug!(%error, "a message was not acknowledged");
        self.stream_missing |= *error == PublishError::NoStream;
        self.paused_until = Instant::now() + PAUSE;
        if let Some(file) = self.files.get_mut(&sent.file).filter(|file| file.epoch == sent.epoch) {
            self.flight.forget(sent.file);
            file.read_again(sent.start);
        }
    }

    fn take_receipts(&mut self) -> anyhow::Result<()> {
        while let Some(receipts) = self.receipts.next().now_or_never() {
            self.take_receipt(&receipts.context("the subscription to receipts ended")?);
        }
        Ok(())
    }

    fn take_receipt(&mut self, receipts: &Receipts) {
        self.last_receipt = Instant::now();
        self.note_marks(receipts);
        for (id, ranges) in &receipts.files {
            let Some(file) =
                self.files.values_mut().find(|file| file.identity.is_some_and(|(mine, _)| mine == *id))
            else {
                continue;
            };
            let reported: events::RangeSet = ranges.iter().copied().collect();
            self.suspicious |= file.done.to_vec().iter().any(|&(start, end)| !reported.contains(start, end));
            self.dirty |= file.commit(ranges);
        }
    }

    pub fn note_marks(&mut self, receipts: &Receipts) {
        self.marks[EVENTS] = receipts.stream.or(self.marks[EVENTS]);
        self.marks[DEAD] = receipts.dead.or(self.marks[DEAD]);
    }

    /// Whether everything that was found is read to its end and committed.
    fn is_settled(&self) -> bool {
        self.flight.is_empty() && self.files.values().all(Tracked::is_settled)
    }

    /// Stops: takes the last acknowledgements, writes the checkpoint, sends the last heartbeat.
    async fn end(&mut self) -> anyhow::Result<()> {
        let deadline = tokio::time::Instant::now() + LAST_ACKS;
        while !self.flight.is_empty() {
            let Ok((sent, outcome)) = tokio::time::timeout_at(deadline, self.flight.next()).await else {
                break;
            };
            self.take_ack(&sent, outcome);
        }
        self.take_receipts()?;
        self.finish_complete();
        self.dirty = true;
        self.save_at_end().await;
        self.heartbeat(true).await;
        Ok(())
    }
}
