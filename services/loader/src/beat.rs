//! What the loader keeps and tells of itself: checkpoint and heartbeat.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bus::{FileBeat, Heartbeat};

use crate::{checkpoint::Checkpoint, tailer::Tailer};

/// How often a heartbeat is sent.
const BEAT: Duration = Duration::from_secs(5);
/// Files named in a heartbeat.
const NAMED: usize = 50;

impl Tailer {
    /// Writes the checkpoint when something moved.
    pub fn save(&mut self) -> anyhow::Result<()> {
        if !self.dirty {
            return Ok(());
        }
        let mut checkpoint = Checkpoint::new(self.sensor.clone());
        checkpoint.streams = self.streams;
        checkpoint.files = self.files.values().filter_map(|file| file.point()).collect();
        checkpoint.files.extend(self.known.iter().cloned());
        self.place.save(&checkpoint)?;
        self.dirty = false;
        Ok(())
    }

    /// Sizes for the statistics.
    pub fn total(&self) {
        let total = self.files.values().filter(|file| !file.gone).map(|file| file.stamp.size.max(file.reader.at())).sum();
        let lag = self.files.values().map(|file| file.lag()).sum();
        self.statistics.set(self.files.len() as u64, total, lag);
    }

    /// Sends a heartbeat when it is time, or at the end.
    pub async fn beat(&mut self, last: bool) {
        self.total();
        let summary = self.statistics.summary();
        // That everything is committed is news.
        let wait = if summary.lag_bytes == 0 && self.told_lag > 0 { BEAT / 5 } else { BEAT };
        if !self.bus.connected() || (!last && self.beaten.is_some_and(|at| at.elapsed() < wait)) {
            return;
        }
        self.beaten = Some(Instant::now());
        self.told_lag = summary.lag_bytes;
        let state = match () {
            () if last => "stopped",
            () if self.stream_missing => "paused",
            () if self.files.is_empty() => "waiting",
            () => "reading",
        };
        let mut files: Vec<_> = self.files.values().filter(|file| file.live || file.complete.is_none()).collect();
        files.sort_by_key(|file| (!file.live, std::cmp::Reverse(file.stamp.mtime_ns)));
        let beat = Heartbeat {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            at_ms: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64),
            state: state.to_owned(),
            files: files.into_iter().take(NAMED).map(file_beat).collect(),
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
        };
        if let Err(error) = self.bus.heartbeat(&self.sensor, &beat).await {
            tracing::debug!(error = format!("{error:#}"), "could not send a heartbeat");
        }
    }
}

fn file_beat(file: &crate::tracked::Tracked) -> FileBeat {
    FileBeat {
        path: file.path.to_string_lossy().into_owned(),
        file_id: file.identity.map(|(id, _)| id),
        generation: file.generation,
        size: file.stamp.size,
        read: file.reader.at(),
        committed: file.position,
        repairs: file.repairs,
    }
}
