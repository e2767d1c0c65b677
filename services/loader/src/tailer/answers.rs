//! Processes acknowledgements and receipts.

use bus::{PublishError, Published, Receipts};

use super::{TICK, Tailer};
use crate::{
    broker::{Outcome, Sent, Taken},
    files::FileKey,
};

impl Tailer {
    /// Processes the outcomes that are known already.
    pub(super) fn take_outcomes(&mut self) {
        self.broker.note_connections();
        while let Some((sent, outcome)) = self.broker.take_outcome() {
            self.take_outcome(&sent, outcome);
        }
    }

    /// Waits until a message of this size may be in flight. `None` when it must not be published now: the
    /// loader stops, or its file will be read again from an earlier offset.
    pub(super) async fn reserve(&mut self, key: FileKey, epoch: u64, bytes: u64) -> Option<Taken> {
        let room = self.broker.room().clone();
        if let Some(taken) = room.try_take(bytes) {
            return Some(taken);
        }
        let mut taking = std::pin::pin!(room.take(bytes));
        let taken = loop {
            self.broker.note_connections();
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return None,
                taken = &mut taking => break taken?,
                // Another sensor may wait for the room that this frees.
                (sent, outcome) = self.broker.next_outcome() => self.take_outcome(&sent, outcome),
                // Wake up to notice a reconnect, which shortens the deadline.
                () = tokio::time::sleep(TICK) => (),
            }
        };
        self.files.in_epoch(key, epoch).is_some().then_some(taken)
    }

    pub(super) fn take_outcome(&mut self, sent: &Sent, outcome: Outcome) {
        match outcome {
            Ok(published) => self.acknowledged(sent, published),
            Err(error) => self.not_published(sent, &error),
        }
    }

    fn acknowledged(&mut self, sent: &Sent, published: Published) {
        self.broker.acknowledge(sent, published);
        let target = sent.target;
        let Some(file) = self.files.in_epoch(target.key, target.epoch) else { return };
        if published.duplicate && file.progress().attempt(target.start) == 0 {
            // The broker dropped it as a duplicate of an identical line. These bytes need a message of their
            // own, or they never get a receipt.
            file.republish_from(target.start);
            return self.broker.forget(target.key);
        }
        file.acknowledge(target.start, sent.stream, published.seq);
    }

    /// After a pause, reads and publishes the message again.
    fn not_published(&mut self, sent: &Sent, error: &PublishError) {
        self.broker.fail(error);
        let target = sent.target;
        if let Some(file) = self.files.in_epoch(target.key, target.epoch) {
            file.read_again(target.start);
            self.broker.forget(target.key);
        }
    }

    /// Processes the receipts that have arrived.
    pub(super) fn take_receipts(&mut self) -> anyhow::Result<()> {
        while let Some(receipts) = self.broker.take_receipts()? {
            self.take_receipt(&receipts);
        }
        Ok(())
    }

    pub(super) fn take_receipt(&mut self, receipts: &Receipts) {
        self.timers.received();
        self.broker.note_marks(receipts);
        for (id, ranges) in &receipts.files {
            let Some(file) = self.files.by_id_mut(*id) else { continue };
            if file.progress().exceeds(ranges) {
                self.timers.set_must_request(true);
            }
            self.checkpoint.mark(file.commit(ranges));
        }
    }
}
