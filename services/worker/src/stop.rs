//! Stops an attempt from outside, with a reason.

use std::sync::{Arc, OnceLock};

use boot::CancellationToken;

/// Why an attempt is stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum StopReason {
    /// A caller cancelled the job.
    Cancelled,
    /// The lease ended, so another attempt may run.
    LeaseLost,
    /// The worker stops and hands the job back.
    HandedBack,
}

/// Stops an attempt. Clones stop the same attempt.
#[derive(Clone, Default)]
pub(crate) struct StopHandle {
    reason: Arc<OnceLock<StopReason>>,
    token: CancellationToken,
}

impl StopHandle {
    /// Stops the attempt. The first reason counts.
    pub fn stop(&self, reason: StopReason) {
        self.note(reason);
        self.token.cancel();
    }

    /// Records why the attempt must end, for code that is about to return.
    pub fn note(&self, reason: StopReason) {
        let _ = self.reason.set(reason);
    }

    pub fn reason(&self) -> Option<StopReason> {
        self.reason.get().copied()
    }

    pub fn token(&self) -> &CancellationToken {
        &self.token
    }
}
