//! Follows the logs of one sensor: one loop that reads, publishes, and takes acknowledgements and receipts
//! in.

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

/// How often streams are compared, checkpoints written and files finished.
const TICK: Duration = Duration::from_secs(1);
/// How long acknowledgements are awaited when stopping.
const LAST_ACKS: Duration = Duration::from_secs(5);
/// After something could not be published.
pub(crate) const PAUSE: Duration = Duration::from_millis(250);

/// Which stream a message went to; indexes what is kept for both.
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
    /// Shared by the sensors of this loader.
    pub room: Room,
    pub receipts: ReceiptsStream,
    pub streams: [Option<StreamSeen>; 2],
    pub marks: [Option<StreamMark>; 2],
    /// A stream does not exist now.
    pub stream_missing: bool,
    /// A sequence went back: the broker was restored from a copy.
    pub rolled_back: bool,
    /// Receipts said less than is known: ask.
    pub suspicious: bool,
    pub heard: Instant,
    pub asked: Instant,
    pub resting_until: Instant,
    /// When the last scan ended.
    pub scanned: Instant,
    /// How long it took.
    pub scan_took: Duration,
    /// Archives that may still be written, by device and inode, and since when they are seen as they are.
    pub settling: HashMap<(u64, u64), (Stamp, Instant)>,
    /// When the checkpoint was last written, and how long that took.
    pub saved: (Instant, Duration),
    /// Files that were said to be something else than Cowrie's JSON log.
    pub hints: u32,
    /// Why the checkpoint could not be written.
    pub save_trouble: Option<String>,
    pub beaten: Option<Instant>,
    /// The lag that the last heartbeat told.
    pub told_lag: u64,
    pub dirty: bool,
    /// A file became known since the checkpoint was written.
    pub met: bool,
    pub backlog_next: bool,
    pub last_live: u64,
    pub buffer: Vec<u8>,
    pub statistics: Arc<Statistics>,
}

impl Tailer {
    /// Follows until stop; in `once` mode until everything is committed. Returns whether it was finished.
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

    /// What is due every second.
    async fn tick(&mut self) -> anyhow::Result<()> {
        if self.scanned.elapsed() >= self.tuning.poll().max(self.scan_gap()) {
            self.scan()?;
        }
        if self.bus.connected() {
            self.look_for_evidence().await;
        }
        self.tell_lost().await;
        self.finish_files().await;
        self.save();
        self.beat(false).await;
        Ok(())
    }

    /// When the broker is away nothing is read: the log file is the buffer.
    pub fn may_read(&self) -> bool {
        !self.stop.is_cancelled()
            && self.bus.connected()
            && !self.stream_missing
            && Instant::now() >= self.resting_until
    }

    /// Waits for whatever comes first.
    async fn wait(&mut self, until: Instant) -> anyhow::Result<()> {
        let until = if Instant::now() < self.resting_until { until.min(self.resting_until) } else { until };
        enum Came {
            Outcome(Sent, Result<Published, PublishError>),
            Receipts(Option<Receipts>),
            Change,
            Nothing,
        }
        let came = tokio::select! {
            () = self.stop.cancelled() => Came::Nothing,
            (sent, outcome) = self.flight.next() => Came::Outcome(sent, outcome),
            receipts = self.receipts.next() => Came::Receipts(receipts),
            () = self.wake.notified() => Came::Change,
            () = tokio::time::sleep_until(until.into()) => Came::Nothing,
        };
        match came {
            Came::Outcome(sent, outcome) => self.take_ack(&sent, outcome),
            Came::Receipts(receipts) => {
                self.take_receipt(&receipts.context("the subscription to receipts ended")?)
            }
            Came::Change => self.look_again()?,
            Came::Nothing => (),
        }
        Ok(())
    }

    /// Takes every acknowledgement that is there.
    fn take_acks(&mut self) {
        self.flight.note_connections(self.bus.connections());
        while let Some((sent, outcome)) = self.flight.take() {
            self.take_ack(&sent, outcome);
        }
    }

    /// Waits until a message of this size may be in flight. `None` when it must not be published now: at a
    /// stop, and when its file is going to be read again from an earlier offset.
    pub async fn room(&mut self, key: u64, turn: u64, bytes: u64) -> Option<Taken> {
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
                // Another sensor waits for the room that this frees.
                (sent, outcome) = self.flight.next() => self.take_ack(&sent, outcome),
                // A new connection shortens the wait.
                () = tokio::time::sleep(TICK) => (),
            }
        };
        self.files.get(&key).is_some_and(|file| file.turn == turn).then_some(taken)
    }

    fn take_ack(&mut self, sent: &Sent, outcome: Result<Published, PublishError>) {
        match outcome {
            Ok(published) => self.acknowledged(sent, published),
            Err(error) => self.not_published(sent, &error),
        }
    }

    fn acknowledged(&mut self, sent: &Sent, published: Published) {
        if let Some(seen) = &mut self.streams[sent.stream] {
            // One connection, one order: a later message cannot have a lower sequence, unless the stream went
            // back in between.
            if !published.duplicate && published.seq <= seen.high {
                self.rolled_back = true;
            }
            seen.high = seen.high.max(published.seq);
        }
        let Some(file) = self.files.get_mut(&sent.file).filter(|file| file.turn == sent.turn) else { return };
        if published.duplicate && file.attempt(sent.start) == 0 {
            // The broker swallowed it for a copy of the same line: these bytes need a message of their own to
            // be receipted.
            file.repeat_from(sent.start);
            self.flight.forget(sent.file);
            return;
        }
        file.segments.acknowledged(sent.start, sent.stream, published.seq);
    }

    /// What was not published is read and published again, after a pause.
    fn not_published(&mut self, sent: &Sent, error: &PublishError) {
        tracing::debug!(%error, "a message was not acknowledged");
        self.stream_missing |= *error == PublishError::NoStream;
        self.resting_until = Instant::now() + PAUSE;
        if let Some(file) = self.files.get_mut(&sent.file).filter(|file| file.turn == sent.turn) {
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
        self.heard = Instant::now();
        self.note_marks(receipts);
        for (id, ranges) in &receipts.files {
            let Some(file) =
                self.files.values_mut().find(|file| file.identity.is_some_and(|(mine, _)| mine == *id))
            else {
                continue;
            };
            let told: events::RangeSet = ranges.iter().copied().collect();
            self.suspicious |= file.done.to_vec().iter().any(|&(start, end)| !told.contains(start, end));
            self.dirty |= file.commit(ranges);
        }
    }

    pub fn note_marks(&mut self, receipts: &Receipts) {
        self.marks[EVENTS] = receipts.stream.or(self.marks[EVENTS]);
        self.marks[DEAD] = receipts.dead.or(self.marks[DEAD]);
    }

    /// Everything that was found is read to its end and committed.
    fn is_settled(&self) -> bool {
        self.flight.is_empty() && self.files.values().all(Tracked::is_settled)
    }

    /// Stops: takes the last acknowledgements, keeps what is known.
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
        self.beat(true).await;
        Ok(())
    }
}
