//! Sends heartbeats.

use bus::{FileBeat, Heartbeat};

use super::Tailer;
use crate::{file::LogFile, statistics::Summary};

/// Files listed in one heartbeat, at most.
const NAMED: usize = 50;

impl Tailer {
    /// Sets the sizes and problems in the statistics.
    pub(super) fn update_statistics(&self) {
        self.statistics.set(self.files.len() as u64, self.files.total(), self.files.lag());
        self.statistics.set_problems(self.files.problems());
    }

    /// Sends a heartbeat when one is due; always if `last`.
    pub(super) async fn send_heartbeat(&mut self, last: bool) {
        self.update_statistics();
        let summary = self.statistics.summary();
        let is_due = last || self.timers.is_heartbeat_due(summary.lag_bytes);
        if !self.broker.is_connected() || !is_due {
            return;
        }
        self.timers.sent_heartbeat(summary.lag_bytes);
        let state = match () {
            () if last => "stopped",
            () if self.broker.streams().is_missing() => "paused",
            () if self.checkpoint.trouble().is_some() => "degraded",
            () if self.files.is_empty() => "waiting",
            () => "reading",
        };
        let heartbeat = self.heartbeat(state, summary);
        self.broker.heartbeat(&heartbeat).await;
    }

    fn heartbeat(&self, state: &str, summary: Summary) -> Heartbeat {
        let mut files: Vec<_> = self.files.values().filter(|file| file.is_of_interest()).collect();
        files.sort_by_key(|file| {
            let has_problem = file.trouble().problem().is_some();
            let modified = file.disk().stamp().mtime_ns;
            (!has_problem, !file.fate().is_live(), std::cmp::Reverse(modified))
        });
        Heartbeat {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            at_ms: boot::now().timestamp_millis(),
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
            trouble: self.checkpoint.trouble().map(str::to_owned),
        }
    }
}

fn file_heartbeat(file: &LogFile) -> FileBeat {
    FileBeat {
        path: file.path().to_string_lossy().into_owned(),
        file_id: file.identity().id(),
        generation: file.identity().generation(),
        size: file.disk().size(),
        read: file.reading().offset(),
        committed: file.progress().position(),
        repairs: file.progress().repairs(),
        problem: file.trouble().problem().map(str::to_owned),
    }
}
