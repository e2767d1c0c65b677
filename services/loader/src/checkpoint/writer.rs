//! Writes the checkpoint when it is due.

use std::time::{Duration, Instant};

use super::{Checkpoint, CheckpointFile};
use crate::timers::long_ago;

/// Writing checkpoints takes at most 1/N of the time.
const SAVE_SHARE: u32 = 20;
/// Upper limit of the interval between two checkpoints, however long one takes to write.
const LONGEST_SAVE_GAP: Duration = Duration::from_secs(10);

pub(crate) struct CheckpointWriter {
    file: CheckpointFile,
    /// When the checkpoint was last written.
    saved: Instant,
    /// How long that took.
    took: Duration,
    /// Why the checkpoint could not be written.
    trouble: Option<String>,
    /// Something changed since the checkpoint was written.
    is_dirty: bool,
    /// A new file was found since the checkpoint was written.
    has_new_file: bool,
}

impl CheckpointWriter {
    pub fn new(file: CheckpointFile) -> Self {
        Self {
            file,
            saved: long_ago(),
            took: Duration::ZERO,
            trouble: None,
            is_dirty: false,
            has_new_file: false,
        }
    }

    /// Something changed, if `is_changed`.
    pub fn mark(&mut self, is_changed: bool) {
        self.is_dirty |= is_changed;
    }

    /// A new file was found, if `is_new`.
    pub fn mark_new_file(&mut self, is_new: bool) {
        self.has_new_file |= is_new;
    }

    /// Whether a new file was found. Returns true once.
    pub fn take_new_file(&mut self) -> bool {
        let has_new_file = std::mem::take(&mut self.has_new_file);
        self.is_dirty |= has_new_file;
        has_new_file
    }

    /// Whether something changed. With very many files a checkpoint takes long to write, so it is written
    /// less often.
    pub fn is_due(&self) -> bool {
        self.is_dirty && self.saved.elapsed() >= (self.took * SAVE_SHARE).min(LONGEST_SAVE_GAP)
    }

    /// Why the checkpoint could not be written; `None` if it was.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Writes the checkpoint, which was collected since `begun`. If that fails (disk full, read-only, no
    /// descriptor), it is retried later. Nothing is lost meanwhile: after a restart, bytes that the
    /// checkpoint does not have are read again.
    pub fn write(&mut self, checkpoint: &Checkpoint, begun: Instant) {
        match self.file.save(checkpoint) {
            Ok(()) => {
                if self.trouble.take().is_some() {
                    tracing::info!("the checkpoint can be written again");
                }
                (self.is_dirty, self.saved, self.took) = (false, Instant::now(), begun.elapsed());
            }
            Err(error) => {
                let text = format!("{error:#}");
                if self.trouble.as_ref() != Some(&text) {
                    tracing::warn!(error = text, "could not write the checkpoint; will retry");
                }
                self.trouble = Some(text);
            }
        }
    }
}
