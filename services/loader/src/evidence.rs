//! Publishes again, but only on proof of loss: a stream was created again, its sequence went back, or the
//! processor's floor has passed bytes that Postgres does not have. A timer only asks for receipts, it never
//! publishes.

use std::time::{Duration, Instant};

use bus::StreamFacts;
use events::FileId;

use crate::{
    checkpoint::StreamSeen,
    reading::COPY_PATIENCE,
    tailer::{DEAD, EVENTS, Tailer},
};

/// While something is outstanding, receipts are requested after this long without any.
const SILENCE: Duration = Duration::from_secs(5);
/// Receipts are requested at this interval in any case, to notice a database that was restored while nothing
/// was outstanding.
const ROUTINE: Duration = Duration::from_secs(300);
/// Minimum interval between two requests for receipts.
const ASK_GAP: Duration = Duration::from_secs(1);
/// Files per request.
const ASK_FILES: usize = 500;

impl Tailer {
    /// Checks the streams and everything that is outstanding.
    pub async fn look_for_evidence(&mut self) {
        match self.look_at_streams().await {
            Ok(Some(why)) => {
                self.repeat_all(why).await;
                // What happened to the broker may have happened to the database, too.
                self.suspicious = true;
            }
            Ok(None) => (),
            Err(error) => {
                return tracing::debug!(error = format!("{error:#}"), "could not look at the streams");
            }
        }
        let passed = self.passed();
        let outstanding = self.files.values().any(|file| !file.segments.is_empty());
        let patience = if outstanding { SILENCE } else { ROUTINE };
        let silent = self.last_receipt.elapsed() >= patience && self.last_request.elapsed() >= patience;
        if (passed || self.suspicious || silent) && self.last_request.elapsed() >= ASK_GAP {
            self.ask().await;
        }
    }

    /// Returns why everything that is outstanding must be published again, if so.
    async fn look_at_streams(&mut self) -> anyhow::Result<Option<&'static str>> {
        let facts = [self.bus.events_stream().await?, self.bus.dead_stream().await?];
        let missing = facts.iter().any(Option::is_none);
        if missing && !self.stream_missing {
            tracing::warn!("the streams do not exist; waiting until a processor provisions them");
        }
        self.stream_missing = missing;
        let mut why = None;
        for (index, facts) in facts.into_iter().enumerate() {
            let Some(facts) = facts else { continue };
            why = self.compare(index, facts).or(why);
        }
        if std::mem::take(&mut self.rolled_back) {
            why = Some("a later message got a lower sequence: the broker was restored from a copy");
        }
        Ok(why)
    }

    fn compare(&mut self, index: usize, facts: StreamFacts) -> Option<&'static str> {
        let fresh = StreamSeen { created: facts.created, high: 0 };
        let Some(seen) = self.streams[index] else {
            self.streams[index] = Some(fresh);
            return None;
        };
        if seen.created != facts.created {
            self.streams[index] = Some(fresh);
            self.dirty = true;
            return Some("the stream was deleted and created again");
        }
        if facts.last_seq < seen.high {
            self.streams[index] = Some(StreamSeen { high: facts.last_seq, ..seen });
            self.dirty = true;
            return Some("the stream's last sequence went back: the broker was restored from a copy");
        }
        None
    }

    /// Publishes everything again that is not committed.
    async fn repeat_all(&mut self, why: &'static str) {
        let keys: Vec<_> =
            self.files.iter().filter(|(_, file)| !file.segments.is_empty()).map(|(key, _)| *key).collect();
        if !keys.is_empty() {
            tracing::warn!(why, files = keys.len(), "publishing again what is not committed");
        }
        for key in keys {
            self.repeat(key).await;
        }
    }

    async fn repeat(&mut self, key: u64) {
        let Some(file) = self.files.get_mut(&key) else { return };
        if !file.gone {
            // The next scan notices that a file which cannot be opened is gone.
            if file.open().is_ok() {
                file.repeat();
            }
            return;
        }
        // There may be a copy that no scan has found yet. The next request for receipts leads here again.
        if file.gone_since.is_some_and(|since| since.elapsed() < COPY_PATIENCE) {
            return;
        }
        if self.is_copied(key) {
            // The copy is read, and its lines are published.
            self.files.remove(&key);
            self.dirty = true;
            return;
        }
        let Some(file) = self.files.get_mut(&key) else { return };
        file.attempts += 1;
        file.published_before = u64::MAX;
        file.epoch += 1;
        self.publish_gap(key).await;
    }

    /// Whether the processor's floor has passed something that is not committed.
    fn passed(&self) -> bool {
        let marks = self.floors();
        self.files.values().any(|file| file.segments.passed(marks))
    }

    /// The reported floors of EVENTS and DEAD; 0 if the floor belongs to an earlier stream of that name.
    fn floors(&self) -> [u64; 2] {
        [EVENTS, DEAD].map(|index| match (self.marks[index], self.streams[index]) {
            (Some(mark), Some(seen)) if mark.created == seen.created => mark.floor,
            _ => 0,
        })
    }

    /// Asks a processor which ranges of each file are committed, and adopts the answer.
    pub async fn ask(&mut self) {
        self.last_request = Instant::now();
        let files: Vec<_> =
            self.files.iter().filter_map(|(key, file)| file.identity.map(|(id, _)| (*key, id))).collect();
        for some in files.chunks(ASK_FILES) {
            let ids: Vec<FileId> = some.iter().map(|(_, id)| *id).collect();
            let answer = match self.bus.ask_receipts(&self.sensor, &ids).await {
                Ok(Some(answer)) => answer,
                Ok(None) => return tracing::debug!("no processor answers about receipts"),
                Err(error) => {
                    return tracing::debug!(error = format!("{error:#}"), "could not ask for receipts");
                }
            };
            self.last_receipt = Instant::now();
            self.note_marks(&answer);
            for (id, ranges) in &answer.files {
                self.adopt(*id, ranges);
            }
            self.repeat_passed(some.iter().map(|(key, _)| *key)).await;
        }
        self.suspicious = false;
    }

    /// Called after an answer. Its floors were read before its ranges, so a range that the floors passed and
    /// the answer lacks is lost.
    async fn repeat_passed(&mut self, answered: impl Iterator<Item = u64>) {
        let floors = self.floors();
        let keys: Vec<_> = answered
            .filter(|key| self.files.get(key).is_some_and(|file| file.segments.passed(floors)))
            .collect();
        if !keys.is_empty() {
            tracing::info!(
                files = keys.len(),
                "the processor has passed bytes that are not committed: publishing them again"
            );
        }
        for key in keys {
            self.repeat(key).await;
        }
    }

    /// Adopts an answer, which comes from Postgres. If it has fewer ranges than are known here, the database
    /// was restored from a backup.
    fn adopt(&mut self, id: FileId, ranges: &[(u64, u64)]) {
        let Some(file) =
            self.files.values_mut().find(|file| file.identity.is_some_and(|(mine, _)| mine == id))
        else {
            return;
        };
        let reported: events::RangeSet = ranges.iter().copied().collect();
        let less = file.done.to_vec().iter().any(|&(start, end)| !reported.contains(start, end));
        if less && !file.gone {
            tracing::warn!(path = %file.path.display(), "Postgres has less of this file than before; reading it again");
            file.adopt(ranges);
            self.dirty = true;
        } else {
            self.dirty |= file.commit(ranges);
        }
    }
}
