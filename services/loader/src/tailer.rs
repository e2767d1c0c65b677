//! Follows the logs of one sensor: one loop that reads, publishes, and takes acknowledgements and receipts in.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use boot::CancellationToken;
use bus::{Ack, Bus, PublishError, Published, Receipts, ReceiptsStream, StreamMark};
use events::SensorId;
use futures::{FutureExt, StreamExt};
use tokio::sync::Notify;

use crate::{
    args::Tuning,
    checkpoint::{CheckpointFile, FilePoint, StreamSeen},
    statistics::Statistics,
    tracked::Tracked,
};

/// How often streams are compared, checkpoints written and files finished.
const TICK: Duration = Duration::from_secs(1);
/// How long acknowledgements are awaited when stopping.
const LAST_ACKS: Duration = Duration::from_secs(5);
/// After something could not be published.
const PAUSE: Duration = Duration::from_millis(250);

/// Which stream a message went to; indexes what is kept for both.
pub(crate) const EVENTS: usize = 0;
pub(crate) const DEAD: usize = 1;

/// A message that the broker has not acknowledged yet.
pub(crate) struct InFlight {
    pub file: u64,
    pub turn: u64,
    pub start: u64,
    pub bytes: u64,
    pub stream: usize,
    pub ack: Ack,
}

/// The state of one sensor's loader.
pub(crate) struct Tailer {
    pub sensor: SensorId,
    pub patterns: Vec<String>,
    pub tuning: Tuning,
    pub once: bool,
    pub bus: Bus,
    pub stop: CancellationToken,
    pub wake: Arc<Notify>,
    pub place: CheckpointFile,
    /// Files of the checkpoint that were not found yet.
    pub known: Vec<FilePoint>,
    pub files: BTreeMap<u64, Tracked>,
    pub next_key: u64,
    pub in_flight: VecDeque<InFlight>,
    pub in_flight_bytes: u64,
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
    pub scanned: Instant,
    pub beaten: Option<Instant>,
    pub dirty: bool,
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
            if self.may_read() && self.read_turn().await? {
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
        if self.scanned.elapsed() >= self.tuning.poll() {
            self.scan()?;
        }
        if self.bus.connected() {
            self.look_for_evidence().await;
        }
        self.finish_files().await?;
        self.save()?;
        self.beat(false).await;
        Ok(())
    }

    /// When the broker is away nothing is read: the log file is the buffer.
    fn may_read(&self) -> bool {
        self.bus.connected() && !self.stream_missing && Instant::now() >= self.resting_until
    }

    /// Waits for whatever comes first.
    async fn wait(&mut self, until: Instant) -> anyhow::Result<()> {
        let until = if Instant::now() < self.resting_until { until.min(self.resting_until) } else { until };
        enum Came {
            Ack(Result<Published, PublishError>),
            Receipts(Option<Receipts>),
            Change,
            Nothing,
        }
        let came = tokio::select! {
            () = self.stop.cancelled() => Came::Nothing,
            outcome = head(&mut self.in_flight) => Came::Ack(outcome),
            receipts = self.receipts.next() => Came::Receipts(receipts),
            () = self.wake.notified() => Came::Change,
            () = tokio::time::sleep_until(until.into()) => Came::Nothing,
        };
        match came {
            Came::Ack(outcome) => self.take_ack(outcome),
            Came::Receipts(receipts) => self.take_receipt(&receipts.context("the subscription to receipts ended")?),
            Came::Change => self.look_again()?,
            Came::Nothing => (),
        }
        Ok(())
    }

    /// Takes every acknowledgement that is there.
    fn take_acks(&mut self) {
        while let Some(outcome) = self.in_flight.front_mut().and_then(|first| (&mut first.ack).now_or_never()) {
            self.take_ack(outcome);
        }
    }

    /// Waits until there is room for another message.
    pub async fn make_room(&mut self) {
        while self.in_flight.len() >= self.tuning.in_flight as usize || self.in_flight_bytes >= self.tuning.in_flight_bytes {
            let outcome = head(&mut self.in_flight).await;
            self.take_ack(outcome);
        }
    }

    /// The outcome of the first message in flight.
    fn take_ack(&mut self, outcome: Result<Published, PublishError>) {
        let Some(sent) = self.in_flight.pop_front() else { return };
        self.in_flight_bytes -= sent.bytes;
        match outcome {
            Ok(published) => self.acknowledged(&sent, published),
            Err(error) => {
                tracing::debug!(%error, "a message was not acknowledged");
                self.not_published(sent.file, sent.turn, sent.start, &error);
            }
        }
    }

    fn acknowledged(&mut self, sent: &InFlight, published: Published) {
        if let Some(seen) = &mut self.streams[sent.stream] {
            // One connection, one order: a later message cannot have a lower sequence, unless the stream went back in between.
            if !published.duplicate && published.seq <= seen.high {
                self.rolled_back = true;
            }
            seen.high = seen.high.max(published.seq);
        }
        let Some(file) = self.files.get_mut(&sent.file).filter(|file| file.turn == sent.turn) else { return };
        if published.duplicate && file.attempt(sent.start) == 0 {
            // The broker swallowed it for a copy of the same line: these bytes need a message of their own to be receipted.
            file.repeat_from(sent.start);
            return;
        }
        file.segments.acknowledged(sent.start, sent.stream, published.seq);
    }

    /// What was not published is read and published again, after a pause.
    pub fn not_published(&mut self, file: u64, turn: u64, start: u64, error: &PublishError) {
        self.stream_missing |= *error == PublishError::NoStream;
        self.resting_until = Instant::now() + PAUSE;
        if let Some(file) = self.files.get_mut(&file).filter(|file| file.turn == turn) {
            file.read_again(start);
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
            let Some(file) = self.files.values_mut().find(|file| file.identity.is_some_and(|(mine, _)| mine == *id)) else { continue };
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
        self.in_flight.is_empty() && self.files.values().all(Tracked::is_settled)
    }

    /// Stops: takes the last acknowledgements, keeps what is known.
    async fn end(&mut self) -> anyhow::Result<()> {
        let deadline = tokio::time::Instant::now() + LAST_ACKS;
        while !self.in_flight.is_empty() {
            let Ok(outcome) = tokio::time::timeout_at(deadline, head(&mut self.in_flight)).await else { break };
            self.take_ack(outcome);
        }
        self.take_receipts()?;
        self.finish_complete();
        self.dirty = true;
        self.save()?;
        self.beat(true).await;
        Ok(())
    }
}

/// The outcome of the first message in flight, when it comes.
async fn head(in_flight: &mut VecDeque<InFlight>) -> Result<Published, PublishError> {
    match in_flight.front_mut() {
        Some(first) => (&mut first.ack).await,
        None => std::future::pending().await,
    }
}
