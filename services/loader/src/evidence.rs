//! Publishing again, on evidence only: the stream was made anew, its sequence went back, or the processor's
//! floor has passed bytes that Postgres does not have. And asking, which is what a timer may do.

use std::time::{Duration, Instant};

use bus::StreamFacts;
use events::FileId;

use crate::{
    checkpoint::StreamSeen,
    reading::COPY_PATIENCE,
    tailer::{DEAD, EVENTS, Tailer},
};

/// After how much silence receipts are asked for while something is outstanding.
const SILENCE: Duration = Duration::from_secs(5);
/// How often it is asked all the same: a database that was restored while nothing was outstanding is noticed.
const ROUTINE: Duration = Duration::from_secs(300);
/// Questions are at least this far apart.
const ASK_GAP: Duration = Duration::from_secs(1);
/// Files in one question.
const ASK_FILES: usize = 500;

impl Tailer {
    /// One look at the streams and at what is outstanding.
    pub async fn look_for_evidence(&mut self) {
        match self.look_at_streams().await {
            Ok(Some(why)) => {
                self.repeat_all(why).await;
                // Whatever befell the broker may have befallen the database.
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
        let silent = self.heard.elapsed() >= patience && self.asked.elapsed() >= patience;
        if (passed || self.suspicious || silent) && self.asked.elapsed() >= ASK_GAP {
            self.ask().await;
        }
    }

    /// Why everything that is outstanding must be published again, if it must.
    async fn look_at_streams(&mut self) -> anyhow::Result<Option<&'static str>> {
        let facts = [self.bus.events_stream().await?, self.bus.dead_stream().await?];
        let missing = facts.iter().any(Option::is_none);
        if missing && !self.stream_missing {
            tracing::warn!("the streams do not exist: waiting until a processor provisions them");
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
            return Some("the stream was created anew");
        }
        if facts.last_seq < seen.high {
            self.streams[index] = Some(StreamSeen { high: facts.last_seq, ..seen });
            self.dirty = true;
            return Some("the stream's last sequence went back: the broker was restored from a copy");
        }
        None
    }

    /// Publishes again everything that is not committed.
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
            // One that cannot be opened is noticed as gone by a scan.
            if file.open().is_ok() {
                file.repeat();
            }
            return;
        }
        // A copy may be there that was not looked at yet; the question comes again.
        if file.gone_since.is_some_and(|since| since.elapsed() < COPY_PATIENCE) {
            return;
        }
        if self.is_copied(key) {
            // The copy is read, and what it holds is published.
            self.files.remove(&key);
            self.dirty = true;
            return;
        }
        let Some(file) = self.files.get_mut(&key) else { return };
        file.attempts += 1;
        file.repeat_until = u64::MAX;
        file.turn += 1;
        self.publish_gap(key).await;
    }

    /// Whether the processor's floor has passed something that is not committed here.
    fn passed(&self) -> bool {
        let marks = self.floors();
        self.files.values().any(|file| file.segments.passed(marks))
    }

    /// The recorded floors of the streams that are there now; 0 for another stream's.
    fn floors(&self) -> [u64; 2] {
        [EVENTS, DEAD].map(|index| match (self.marks[index], self.streams[index]) {
            (Some(mark), Some(seen)) if mark.created == seen.created => mark.floor,
            _ => 0,
        })
    }

    /// Asks a processor what is committed of every file, and believes it.
    pub async fn ask(&mut self) {
        self.asked = Instant::now();
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
            self.heard = Instant::now();
            self.note_marks(&answer);
            for (id, ranges) in &answer.files {
                self.believe(*id, ranges);
            }
            self.repeat_passed(some.iter().map(|(key, _)| *key)).await;
        }
        self.suspicious = false;
    }

    /// After an answer: the floors in it were read before its ranges, so what they passed and the ranges lack
    /// is lost.
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

    /// The answer comes from Postgres: where it has less than is known here, it was restored from a copy.
    fn believe(&mut self, id: FileId, ranges: &[(u64, u64)]) {
        let Some(file) =
            self.files.values_mut().find(|file| file.identity.is_some_and(|(mine, _)| mine == id))
        else {
            return;
        };
        let told: events::RangeSet = ranges.iter().copied().collect();
        let less = file.done.to_vec().iter().any(|&(start, end)| !told.contains(start, end));
        if less && !file.gone {
            tracing::warn!(path = %file.path.display(), "Postgres has less of this file than it had: reading it again");
            file.believe(ranges);
            self.dirty = true;
        } else {
            self.dirty |= file.commit(ranges);
        }
    }
}
