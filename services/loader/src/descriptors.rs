//! The budget of open logs, shared by all sensors of the process. The other half of the descriptors is for
//! sockets, listings and the checkpoint.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Logs that are open now.
static OPEN: AtomicUsize = AtomicUsize::new(0);

/// Counts one open log while it lives.
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

/// How many logs may be open at once.
pub(crate) fn budget() -> usize {
    boot::descriptor_limit() / 2
}

/// Whether another log should be opened only after one was closed.
pub(crate) fn is_full() -> bool {
    OPEN.load(Relaxed) >= budget()
}
