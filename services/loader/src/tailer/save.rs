//! Writes the checkpoint.

use std::time::{Duration, Instant};

use super::Tailer;
use crate::checkpoint::Checkpoint;

/// With more files than this, the checkpoint is not written at once when a new file was found.
const SAVED_AT_ONCE: usize = 100;
/// Pause between attempts to write the last checkpoint.
const SAVE_PAUSE: Duration = Duration::from_millis(500);

impl Tailer {
    pub(super) fn save(&mut self) {
        let begun = Instant::now();
        let mut checkpoint = Checkpoint::new(self.settings.sensor.clone());
        checkpoint.streams = self.broker.streams().seen();
        checkpoint.files = self.files.points();
        self.checkpoint.write(&checkpoint, begun);
        self.statistics.set_checkpoint_trouble(self.checkpoint.trouble().map(str::to_owned));
    }

    /// Saves new files in the checkpoint at once, so that they can be found later, wherever they are moved.
    /// With very many files, the regular checkpoint is soon enough.
    pub(super) fn save_new_files(&mut self) {
        if self.checkpoint.take_new_file() && self.files.len() <= SAVED_AT_ONCE {
            self.save();
        }
    }

    /// Writes the last checkpoint. In `once` mode it retries until the write succeeds; when the loader is
    /// stopped, it does not wait.
    pub(super) async fn save_at_end(&mut self) {
        self.save();
        while self.checkpoint.trouble().is_some() && self.settings.once && !self.stop.is_cancelled() {
            self.send_heartbeat(false).await;
            tokio::select! {
                () = self.stop.cancelled() => (),
                () = tokio::time::sleep(SAVE_PAUSE) => (),
            }
            self.save();
        }
    }
}
