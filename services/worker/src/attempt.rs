//! One attempt at a job: what its code may ask and tell, and what becomes of it.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use boot::CancellationToken;
use bus::{News, Permit};
use chrono::Utc;
use jobs::Kind;
use serde_json::Value;
use store::{Claimed, Failure, Outcome, Progress, Transaction};
use tokio::sync::Mutex;

use crate::{Shared, analyses, diagnostic, report};

/// Progress is written at most so often.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);
/// Of this little done here, in parts of `total`, no end is reckoned.
const LEAST_DONE: f64 = 1e-6;
/// Longest pause before another attempt, in seconds.
const LONGEST_PAUSE: f64 = 600.0;
/// Longest error that is stored, in characters.
const LONGEST_ERROR: usize = 2_000;

/// Why an attempt is stopped from outside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Why {
    Cancelled,
    Lost,
    HandedBack,
}

/// An attempt that runs here.
pub(crate) struct Running {
    pub attempt: i32,
    pub permit: Option<Permit>,
    stopped: Arc<OnceLock<Why>>,
    stop: CancellationToken,
}

impl Running {
    /// Of a claim, with what its code will be given.
    pub fn of(shared: &Shared, claimed: &Claimed, permit: Option<Permit>) -> (Self, Run) {
        let (stopped, stop) = (Arc::new(OnceLock::new()), CancellationToken::new());
        let run = Run {
            shared: shared.clone(),
            claimed: claimed.clone(),
            stopped: stopped.clone(),
            stop: stop.clone(),
            begun: Instant::now(),
            told: Arc::new(Mutex::new((None, 0.0))),
        };
        (Self { attempt: claimed.attempt, permit, stopped, stop }, run)
    }

    /// Stops it.
    pub fn stop(&self, why: Why) {
        // The first reason counts.
        let _ = self.stopped.set(why);
        self.stop.cancel();
    }
}

/// How the code of a job ends when it has no result.
#[derive(Debug)]
pub(crate) enum Ended {
    /// It may succeed another time.
    Retry(anyhow::Error),
    /// It never will.
    GiveUp(anyhow::Error),
    /// It was stopped from outside.
    Stopped,
}

impl From<Ended> for anyhow::Error {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Retry(error) | Ended::GiveUp(error) => error,
            Ended::Stopped => anyhow::anyhow!("stopped"),
        }
    }
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Retry(error) => Self::Retry(error),
            Failure::Reject(error) => Self::GiveUp(error),
        }
    }
}

/// What the code of a job may ask and tell.
#[derive(Clone)]
pub(crate) struct Run {
    pub shared: Shared,
    pub claimed: Claimed,
    stopped: Arc<OnceLock<Why>>,
    stop: CancellationToken,
    begun: Instant,
    /// When progress was written last, and of how much was done when this attempt began.
    told: Arc<Mutex<(Option<Instant>, f64)>>,
}

impl Run {
    /// Waits, unless it is stopped.
    pub async fn pause(&self, time: Duration) -> Result<(), Ended> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(Ended::Stopped),
            () = tokio::time::sleep(time) => Ok(()),
        }
    }

    /// Commits what a step did, with where to go on: all of it, or nothing when this attempt is not the one that runs any more.
    pub async fn commit(&self, mut transaction: Transaction, checkpoint: Option<&Value>) -> Result<(), Ended> {
        let Claimed { job_id, attempt, .. } = self.claimed;
        if !store::holds_job(&mut transaction, job_id, attempt).await? {
            let _ = self.stopped.set(Why::Lost);
            return Err(Ended::Stopped);
        }
        if let Some(checkpoint) = checkpoint {
            store::set_checkpoint(&mut transaction, job_id, checkpoint).await?;
        }
        transaction.commit().await.map_err(|error| Ended::Retry(error.into()))
    }

    /// Where an earlier attempt got to, in parts done of `total`: the time left is reckoned from there.
    pub async fn resumed_at(&self, done: f64) {
        self.told.lock().await.1 = done;
    }

    /// Cancelled when it must stop, whatever the reason: for code that cannot wait for it.
    pub fn stopping(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Tells how far it is. Written and published at most four times a second, but for the end.
    pub async fn progress(&self, step: &str, done: i64, total: i64) -> Result<(), Ended> {
        let part = if total > 0 { done as f64 / total as f64 } else { 0.0 };
        self.progress_of(step, part, total).await
    }

    /// As [`Self::progress`], for what is no whole number of `total`: the part of all that is done, in [0, 1].
    pub async fn progress_of(&self, step: &str, part: f64, total: i64) -> Result<(), Ended> {
        let done = part * total as f64;
        let mut told = self.told.lock().await;
        if part < 1.0 && told.0.is_some_and(|at| at.elapsed() < PROGRESS_INTERVAL) {
            return Ok(());
        }
        told.0 = Some(Instant::now());
        let (since, done_here) = (self.begun.elapsed().as_secs_f64(), done - told.1);
        drop(told);
        // What rounding leaves of nothing done is nothing; from it, the end would be beyond all calendars.
        let left = (done_here > LEAST_DONE).then(|| since * (total as f64 - done) / done_here);
        let progress = Progress {
            percent: (part * 100.0).clamp(0.0, 100.0),
            step: step.to_owned(),
            processed: Some(done.round() as i64),
            total: Some(total),
            estimated_completion: left.and_then(|seconds| Utc::now().checked_add_signed(chrono::Duration::try_milliseconds((seconds * 1e3) as i64)?)),
        };
        let mut connection = self.shared.store.connection().await?;
        let status = store::set_progress(&mut connection, self.claimed.job_id, self.claimed.attempt, &progress).await?;
        drop(connection);
        let Some(status) = status else {
            let _ = self.stopped.set(Why::Lost);
            return Err(Ended::Stopped);
        };
        tell(&self.shared, News::Progress, &status).await;
        Ok(())
    }
}

/// Tells everybody how a job is doing.
pub(crate) async fn tell(shared: &Shared, news: News, status: &jobs::Status) {
    let text = serde_json::to_string(status).unwrap_or_default();
    shared.bus.tell_of_job(news, &status.job_id.to_string(), text).await;
}

/// Runs an attempt to its end; `None` when it is not ours any more.
pub(crate) async fn run(run: Run) -> Option<Outcome> {
    let claimed = &run.claimed;
    let code = run.shared.tasks.start(code(run.clone()));
    let limit = Duration::from_secs(claimed.timeout_seconds.max(1).unsigned_abs().into());
    let ended = tokio::select! {
        ended = tokio::time::timeout(limit, code.result()) => ended,
        // Code that does not look is left behind: its writes are refused.
        () = async { run.stop.cancelled().await; tokio::time::sleep(Duration::from_millis(500)).await } => Ok(Ok(Err(Ended::Stopped))),
    };
    run.stop.cancel();
    let why = run.stopped.get().copied();
    let (retry, kind, message) = match ended {
        Ok(Ok(Ok(result))) => return Some(Outcome::Completed(result)),
        Ok(Ok(Err(_))) if why == Some(Why::Cancelled) => return Some(Outcome::Cancelled),
        Ok(Ok(Err(_))) if why == Some(Why::HandedBack) => return Some(Outcome::HandedBack),
        Ok(Ok(Err(_))) if why == Some(Why::Lost) => return None,
        Ok(Ok(Err(Ended::Retry(error)))) => (true, "Retry", format!("{error:#}")),
        Ok(Ok(Err(Ended::GiveUp(error)))) => (false, "GiveUp", format!("{error:#}")),
        Ok(Ok(Err(Ended::Stopped))) => (true, "Stopped", "stopped without a reason".to_owned()),
        Ok(Err(_)) => (true, "Panic", "the code of the job panicked; the worker's log says where".to_owned()),
        Err(_) => (true, "Timeout", format!("longer than {} s", claimed.timeout_seconds)),
    };
    let error = (kind.to_owned(), message.chars().take(LONGEST_ERROR).collect::<String>());
    let last = !retry || claimed.attempt >= claimed.max_attempts;
    tracing::warn!(job_id = %claimed.job_id, job_type = claimed.job_type, attempt = claimed.attempt, error = error.1, last, "an attempt failed");
    Some(if last { Outcome::Failed { error } } else { Outcome::Retry { error, after: pause(run.shared.retry_seconds, claimed) } })
}

/// An outcome's name, for traces.
pub(crate) fn named(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Completed(_) => "completed",
        Outcome::Failed { .. } => "failed",
        Outcome::Retry { .. } => "retry",
        Outcome::Cancelled => "cancelled",
        Outcome::HandedBack => "handed_back",
    }
}

/// Seconds before the next attempt: doubled each time, give or take half, so that jobs that failed together do not come back together.
fn pause(base: f64, claimed: &Claimed) -> f64 {
    let jitter = f64::from(claimed.job_id.as_bytes()[(claimed.attempt as usize) % 16]) / 255.0 + 0.5;
    (base * 2.0_f64.powi(claimed.attempt.clamp(1, 30) - 1)).min(LONGEST_PAUSE) * jitter
}

async fn code(run: Run) -> Result<Value, Ended> {
    let kind = Kind::stored(&run.claimed.job_type, run.claimed.parameters.clone()).map_err(|why| Ended::GiveUp(anyhow::anyhow!(why)))?;
    match kind {
        Kind::Diagnostic(diagnostic) => diagnostic::run(&run, diagnostic).await,
        Kind::Report(report) => report::run(&run, report).await,
        Kind::Longtail(longtail) => analyses::run(&run, analyses::Job::Longtail(longtail)).await,
        Kind::Snowshoe(campaigns) => analyses::run(&run, analyses::Job::Snowshoe(campaigns)).await,
        Kind::Botnet(campaigns) => analyses::run(&run, analyses::Job::Botnet(campaigns)).await,
    }
}
