//! Writes the checkpoint and sends heartbeats.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bus::{FileBeat, Heartbeat};

use crate::{checkpoint::Checkpoint, statistics::Problem, tailer::Tailer};

const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);
/// Files listed in one heartbeat, at most.
const NAMED: usize = 50;
/// Writing checkpoints takes at most 1/N of the time.
const SAVE_SHARE: u32 = 20;
/// Upper limit of the interval between two checkpoints, however long one takes to write.
const LONGEST_SAVE_GAP: Duration = Duration::from_secs(10);
/// Pause between attempts to write the last checkpoint.
const SAVE_PAUSE: Duration = Duration::from_millis(500);

impl Tailer {
    /// Writes the checkpoint if something changed. With very many files a checkpoint takes long to write, so
    /// it is written less often.
    pub fn save(&mut self) {
        let (last, took) = self.saved;
        if self.dirty && last.elapsed() >= (took * SAVE_SHARE).min(LONGEST_SAVE_GAP) {
            self.save_now();
        }
    }

    /// Writes the checkpoint. If that fails (disk full, read-only, no descriptor), it is retried later.
    /// Nothing is lost meanwhile: after a restart, bytes that the checkpoint does not have are read again.
    pub fn save_now(&mut self) {
        let begun = Instant::now();
        let mut checkpoint = Checkpoint::new(self.sensor.clone());
        checkpoint.streams = self.streams;
        checkpoint.files = self.files.values().filter_map(|file| file.point()).collect();
        checkpoint.files.extend(self.known.iter().cloned());
        match self.place.save(&checkpoint) {
            Ok(()) => {
                if self.save_trouble.take().is_some() {
                    tracing::info!("the checkpoint can be written again");
                }
                (self.dirty, self.saved) = (false, (Instant::now(), begun.elapsed()));
            }
            Err(error) => {
                let text = format!("{error:#}");
                if self.save_trouble.as_ref() != Some(&text) {
                    tracing::warn!(error = text, "could not write the checkpoint; will retry");
                }
                self.save_trouble = Some(text);
            }
        }
        self.statistics.set_checkpoint_trouble(self.save_trouble.clone());
    }

    /// Writes the last checkpoint. In `once` mode it retries until the write succeeds; when the loader is
    /// stopped, it does not wait.
    pub async fn save_at_end(&mut self) {
        self.save_now();
        while self.save_trouble.is_some() && self.once && !self.stop.is_cancelled() {
            self.heartbeat(false).await;
            tokio::select! {
                () = self.stop.cancelled() => (),
                () = tokio::time::sleep(SAVE_PAUSE) => (),
            }
            self.save_now();
        }
    }

    /// Sets the sizes and problems in the statistics.
    pub fn update_statistics(&self) {
        let total = self
            .files
            .values()
            .filter(|file| !file.gone)
            .map(|file| file.stamp.size.max(file.reader.at()))
            .sum();
        let lag = self.files.values().map(|file| file.lag()).sum();
        self.statistics.set(self.files.len() as u64, total, lag);
        let problems =
            self.files.values().filter(|file| !file.gone).filter_map(|file| Some((file, file.problem()?)));
        let problems = problems
            .map(|(file, why)| Problem {
                path: file.path.clone(),
                why: why.to_owned(),
                damaged: file.damage.is_some(),
            })
            .collect();
        self.statistics.set_problems(problems);
    }

    /// Sends a heartbeat when one is due; always if `last`.
    pub async fn heartbeat(&mut self, last: bool) {
        self.update_statistics();
        let summary = self.statistics.summary();
        // Report sooner that the lag has become 0.
        let wait = if summary.lag_bytes == 0 && self.reported_lag > 0 {
            HEARTBEAT_INTERVAL / 5
        } else {
            HEARTBEAT_INTERVAL
        };
        if !self.bus.connected() || (!last && self.last_heartbeat.is_some_and(|at| at.elapsed() < wait)) {
            return;
        }
        self.last_heartbeat = Some(Instant::now());
        self.reported_lag = summary.lag_bytes;
        let state = match () {
            () if last => "stopped",
            () if self.stream_missing => "paused",
            () if self.save_trouble.is_some() => "degraded",
            () if self.files.is_empty() => "waiting",
            () => "reading",
        };
        let mut files: Vec<_> = self
            .files
            .values()
            .filter(|file| file.live || file.complete.is_none() || file.problem().is_some())
            .collect();
        files.sort_by_key(|file| {
            (file.problem().is_none(), !file.live, std::cmp::Reverse(file.stamp.mtime_ns))
        });
        let heartbeat = Heartbeat {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            at_ms: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64),
            state: state.to_owned(),
            files: files.into_iter().take(NAMED).map(file_heartbeat).collect(),
            lag_bytes: summary.lag_bytes,
            events: summary.events,
            dead_letters: summary.dead_letters,
            event_bytes: summary.event_bytes,
            dead_bytes: summary.dead_bytes,
            skipped_bytes: summary.skipped_bytes,
            dropped: summary.dropped,
            dropped_bytes: summary.dropped_bytes,
            republished: summary.republished,
            gap_bytes: summary.gap_bytes,
            last_event_at: summary.last_event_at,
            damaged: summary.damaged,
            unreadable: summary.unreadable,
            trouble: self.save_trouble.clone(),
        };
        if let Err(error) = self.bus.heartbeat(&self.sensor, &heartbeat).await {
            tracing::debug!(error = format!("{error:#}"), "could not send a heartbeat");
        }
    }
}

fn file_heartbeat(file: &crate::tracked::Tracked) -> FileBeat {
    FileBeat {
        path: file.path.to_string_lossy().into_owned(),
        file_id: file.identity.map(|(id, _)| id),
        generation: file.generation,
        size: file.stamp.size,
        read: file.reader.at(),
        committed: file.position,
        repairs: file.repairs,
        problem: file.problem().map(str::to_owned),
    }
}
