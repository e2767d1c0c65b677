//! What job code may ask of its attempt: read, apply a step, report progress, pause, check for a stop.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use boot::{CancellationToken, Tasks};
use serde_json::Value;
use store::jobs::{Claimed, Progress};
use tokio::sync::Mutex;

use crate::{
    backend::{Applied, ApplyError, Backend, Reader},
    error::AttemptError,
    publish::Audience,
    step::Step,
    stop::{StopHandle, StopReason},
};

/// Shortest time between two reports of progress.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);
/// Without at least this much done in this attempt there is no estimate of the end.
const LEAST_DONE: f64 = 1e-6;

/// What job code ends with: the result of the job, or why there is none.
pub(crate) type JobResult = Result<Value, AttemptError>;

/// One attempt, as its code sees it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Run {
    pub tasks: Tasks,
    /// The name of the worker.
    pub worker: String,
    pub claimed: Claimed,
    backend: Backend,
    audience: Audience,
    stop: StopHandle,
    started: Instant,
    reported: Arc<Mutex<Reported>>,
}

/// What the estimate of the end needs.
#[derive(Default)]
struct Reported {
    at: Option<Instant>,
    /// How much was done when this attempt began, in units of `total`.
    resumed_at: f64,
}

impl Run {
    pub fn new(claimed: Claimed, worker: String, backend: Backend, tasks: Tasks, audience: Audience) -> Self {
        Self {
            tasks,
            worker,
            claimed,
            backend,
            audience,
            stop: StopHandle::default(),
            started: Instant::now(),
            reported: Arc::default(),
        }
    }

    /// For reading what the job needs.
    pub fn reader(&self) -> Reader {
        self.backend.reader()
    }

    /// Writes a step: all of it, or nothing if the attempt no longer holds its lease.
    pub async fn apply(&self, step: &Step) -> Result<Applied, AttemptError> {
        self.backend.apply(step).await.map_err(|error| {
            if matches!(error, ApplyError::LeaseLost) {
                self.stop.note(StopReason::LeaseLost);
            }
            error.into()
        })
    }

    /// Waits, unless the attempt is stopped.
    pub async fn pause(&self, time: Duration) -> Result<(), AttemptError> {
        tokio::select! {
            biased;
            () = self.stop.token().cancelled() => Err(AttemptError::Stopped),
            () = tokio::time::sleep(time) => Ok(()),
        }
    }

    /// Cancelled when the attempt must stop, for whatever reason.
    pub fn stop_token(&self) -> CancellationToken {
        self.stop.token().clone()
    }

    /// Stops the attempt, and says why it was stopped.
    pub fn stop_handle(&self) -> &StopHandle {
        &self.stop
    }

    /// Sets how much earlier attempts had done, in units of `total`. The estimate of the end starts there.
    pub async fn resumed_at(&self, done: f64) {
        self.reported.lock().await.resumed_at = done;
    }

    /// Reports progress in whole units. At most four reports a second are written, and always the last one.
    pub async fn progress(&self, step: &str, done: i64, total: i64) -> Result<(), AttemptError> {
        let part = if total > 0 { done as f64 / total as f64 } else { 0.0 };
        self.write_progress(step, part, total, None).await
    }

    /// As [`Self::progress`], for a job that reads sessions: the part, in [0, 1], of `sessions` that is done.
    pub async fn progress_of_sessions(
        &self,
        step: &str,
        part: f64,
        sessions: i64,
    ) -> Result<(), AttemptError> {
        self.write_progress(step, part, sessions, Some(sessions)).await
    }

    async fn write_progress(
        &self,
        step: &str,
        part: f64,
        total: i64,
        sessions: Option<i64>,
    ) -> Result<(), AttemptError> {
        let done = part * total as f64;
        let mut reported = self.reported.lock().await;
        if part < 1.0 && reported.at.is_some_and(|at| at.elapsed() < PROGRESS_INTERVAL) {
            return Ok(());
        }
        reported.at = Some(Instant::now());
        let done_here = done - reported.resumed_at;
        drop(reported);
        let progress = Progress {
            percent: (part * 100.0).clamp(0.0, 100.0),
            step: step.to_owned(),
            processed: sessions.map(|_| done.round() as i64),
            total: sessions,
            estimated_completion: self
                .seconds_left(done_here, total as f64 - done)
                .and_then(|seconds| chrono::Duration::try_milliseconds((seconds * 1e3) as i64))
                .and_then(|left| boot::now().checked_add_signed(left)),
        };
        let applied = self.apply(&Step { progress: Some(progress), ..Step::default() }).await?;
        if let Some(status) = applied.status {
            self.audience.progress(status).await;
        }
        Ok(())
    }

    /// `None` when too little was done: a division by a rounding error gives a time beyond every calendar.
    fn seconds_left(&self, done_here: f64, left: f64) -> Option<f64> {
        (done_here > LEAST_DONE).then(|| self.started.elapsed().as_secs_f64() * left / done_here)
    }
}
