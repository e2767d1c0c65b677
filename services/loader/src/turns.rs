//! Closes logs when there are more of them than file descriptors, so that they are open in turns.

use crate::{descriptors, tailer::Tailer, tracked::Tracked};

/// 1/N of the open logs is closed at once when there are too many.
const SHARE: usize = 8;

impl Tailer {
    /// Closes other logs, if necessary, before the log `key` is opened.
    pub fn free_descriptors(&mut self, key: u64) {
        if descriptors::is_full() && self.files.get(&key).is_some_and(|file| file.input.is_none()) {
            self.close_some(key);
        }
    }

    /// Closes the logs that were least recently read, except for `but`. A log that no pattern matches any
    /// more stays open: it could not be opened again by its name. An archive that was read in part is closed
    /// last, because it would have to be decompressed again.
    pub fn close_some(&mut self, but: u64) {
        let halfway = |file: &Tracked| file.compressed && file.ready;
        let mut open: Vec<_> = self
            .files
            .iter()
            .filter(|(key, file)| **key != but && file.listed && file.input.is_some())
            .map(|(key, file)| (halfway(file), file.used, *key))
            .collect();
        open.sort_unstable();
        for (.., key) in open.iter().take(open.len().div_ceil(SHARE)) {
            if let Some(file) = self.files.get_mut(key) {
                file.input = None;
            }
        }
    }
}
