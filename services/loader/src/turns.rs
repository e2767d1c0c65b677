//! More logs than file descriptors: they are open in turns.

use crate::{descriptors, tailer::Tailer, tracked::Tracked};

/// Which part of the open logs is closed at once, when there are too many.
const SHARE: usize = 8;

impl Tailer {
    /// Makes room before the log `key` is opened.
    pub fn free_descriptors(&mut self, key: u64) {
        if descriptors::is_full() && self.files.get(&key).is_some_and(|file| file.input.is_none()) {
            self.close_some(key);
        }
    }

    /// Closes the logs that were read the longest ago, except for `but`. One that no pattern finds any more
    /// stays open: it could not be opened again by its name. An archive that is read halfway is closed last,
    /// because going on there means to decompress it again.
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
