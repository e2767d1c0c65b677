//! Limits the number of open logs, over all sensors of the process, to half of the file descriptors. The
//! other half is for sockets, directory listings and the checkpoint.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Number of logs that are open.
static OPEN: AtomicUsize = AtomicUsize::new(0);

/// Counts as one open log until it is dropped.
pub(crate) struct Open(());

impl Open {
    pub fn count() -> Self {
        OPEN.fetch_add(1, Relaxed);
        Self(())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Relaxed);
    }
}

pub(crate) fn budget() -> usize {
    boot::descriptor_limit() / 2
}

/// Whether a log must be closed before another one is opened.
pub(crate) fn is_full() -> bool {
    OPEN.load(Relaxed) >= budget()
}
