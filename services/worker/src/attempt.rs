//! One attempt at a job: what its code may ask and tell, and what becomes of it.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use boot::{CancellationToken, Tasks};
use bus::{Bus, News, Permit};
use chrono::Utc;
use jobs::Kind;
use serde_json::Value;
use store::{Claimed, Failure, Outcome, Progress, Store, Transaction};
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::{Shared, analyses, diagnostic, memory, process, report};

/// Progress is written at most so often.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);
/// Of this little done here, in parts of `total`, no end is reckoned.
const LEAST_DONE: f64 = 1e-6;
/// Longest pause before another attempt, in seconds.
const LONGEST_PAUSE: f64 = 600.0;
/// Attempts of a job that may kill their process; after the last one it is failed, whatever is left of its
/// attempts.
const MOST_CRASHES: i32 = 2;
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
        let run = Run::new(
            claimed.clone(),
            shared.spec.name.clone(),
            shared.jobs.clone(),
            shared.tasks.clone(),
            Audience::Broker(Box::new(shared.bus.clone())),
        );
        (Self { attempt: claimed.attempt, permit, stopped: run.stopped.clone(), stop: run.stop.clone() }, run)
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
    /// It killed its process.
    Crashed(anyhow::Error),
    /// A dependency went away.
    Interrupted(anyhow::Error),
    /// It was stopped from outside.
    Stopped,
}

impl From<Ended> for anyhow::Error {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Retry(error)
            | Ended::GiveUp(error)
            | Ended::Crashed(error)
            | Ended::Interrupted(error) => error,
            Ended::Stopped => anyhow::anyhow!("stopped"),
        }
    }
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        let outage = failure.is_outage();
        match failure {
            Failure::Retry(error) if outage => Self::Interrupted(error),
            Failure::Retry(error) => Self::Retry(error),
            Failure::Reject(error) => Self::GiveUp(error),
        }
    }
}

/// Who is told of progress as it happens, after it was written.
#[derive(Clone)]
pub(crate) enum Audience {
    /// Everybody, through the broker.
    Broker(Box<Bus>),
    /// The worker that started this process, on standard output.
    Parent,
}

/// What the code of a job may ask and tell.
#[derive(Clone)]
pub(crate) struct Run {
    pub store: Store,
    pub tasks: Tasks,
    /// The worker's name.
    pub worker: String,
    pub claimed: Claimed,
    audience: Audience,
    stopped: Arc<OnceLock<Why>>,
    stop: CancellationToken,
    begun: Instant,
    /// When progress was written last, and of how much was done when this attempt began.
    told: Arc<Mutex<(Option<Instant>, f64)>>,
}

impl Run {
    pub fn new(claimed: Claimed, worker: String, store: Store, tasks: Tasks, audience: Audience) -> Self {
        Self {
            store,
            tasks,
            worker,
            claimed,
            audience,
            stopped: Arc::default(),
            stop: CancellationToken::new(),
            begun: Instant::now(),
            told: Arc::new(Mutex::new((None, 0.0))),
        }
    }

    /// Whether it was found that this attempt is not the one that runs any more.
    pub fn is_lost(&self) -> bool {
        self.stopped.get() == Some(&Why::Lost)
    }

    /// Notes that this attempt is not the one that runs any more.
    pub fn lost(&self) -> Ended {
        let _ = self.stopped.set(Why::Lost);
        Ended::Stopped
    }

    /// Waits, unless it is stopped.
    pub async fn pause(&self, time: Duration) -> Result<(), Ended> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(Ended::Stopped),
            () = tokio::time::sleep(time) => Ok(()),
        }
    }

    /// Commits what a step did, with where to go on: all of it, or nothing when this attempt is not the one
    /// that runs any more.
    pub async fn commit(
        &self,
        mut transaction: Transaction,
        checkpoint: Option<&Value>,
    ) -> Result<(), Ended> {
        let Claimed { job_id, attempt, .. } = self.claimed;
        if !store::holds_job(&mut transaction, job_id, attempt).await? {
            return Err(self.lost());
        }
        if let Some(checkpoint) = checkpoint {
            store::set_checkpoint(&mut transaction, job_id, checkpoint).await?;
        }
        Ok(transaction.commit().await.map_err(Failure::from)?)
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
        self.write_progress(step, part, total, None).await
    }

    /// As [`Self::progress`], for a job that reads sessions: `part` of `total` sessions are done.
    pub async fn progress_of(&self, step: &str, part: f64, total: i64) -> Result<(), Ended> {
        self.write_progress(step, part, total, Some(total)).await
    }

    async fn write_progress(
        &self,
        step: &str,
        part: f64,
        total: i64,
        sessions: Option<i64>,
    ) -> Result<(), Ended> {
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
            processed: sessions.map(|_| done.round() as i64),
            total: sessions,
            estimated_completion: left.and_then(|seconds| {
                Utc::now().checked_add_signed(chrono::Duration::try_milliseconds((seconds * 1e3) as i64)?)
            }),
        };
        let mut connection = self.store.connection().await?;
        let status =
            store::set_progress(&mut connection, self.claimed.job_id, self.claimed.attempt, &progress)
                .await?;
        drop(connection);
        let status = status.ok_or_else(|| self.lost())?;
        match &self.audience {
            Audience::Broker(bus) => tell(bus, News::Progress, &status).await,
            Audience::Parent => process::say(&process::Said::Progress(status)),
        }
        Ok(())
    }
}

/// Tells everybody how a job is doing.
pub(crate) async fn tell(bus: &Bus, news: News, status: &jobs::Status) {
    let text = serde_json::to_string(status).unwrap_or_default();
    bus.tell_of_job(news, &status.job_id.to_string(), text).await;
}

/// Runs an attempt to its end; `None` when it is not ours any more.
pub(crate) async fn run(shared: &Shared, run: Run) -> Option<Outcome> {
    let claimed = &run.claimed;
    let code = run.tasks.start(place(shared.clone(), run.clone()));
    let limit = Duration::from_secs(claimed.timeout_seconds.max(1).unsigned_abs().into());
    let ended = tokio::select! {
        ended = tokio::time::timeout(limit, code.result()) => ended,
        // Code that does not look is left behind: its writes are refused.
        () = async { run.stop.cancelled().await; tokio::time::sleep(Duration::from_millis(500)).await } => Ok(Ok(Err(Ended::Stopped))),
    };
    run.stop.cancel();
    let why = run.stopped.get().copied();
    let (fault, kind, message) = match ended {
        Ok(Ok(Ok(result))) => return Some(Outcome::Completed(result)),
        Ok(Ok(Err(_))) if why == Some(Why::Cancelled) => return Some(Outcome::Cancelled),
        Ok(Ok(Err(_))) if why == Some(Why::HandedBack) => return Some(Outcome::HandedBack),
        Ok(Ok(Err(_))) if why == Some(Why::Lost) => return None,
        Ok(Ok(Err(Ended::Retry(error)))) => (Fault::Job, "Retry", format!("{error:#}")),
        Ok(Ok(Err(Ended::GiveUp(error)))) => (Fault::Request, "GiveUp", format!("{error:#}")),
        Ok(Ok(Err(Ended::Crashed(error)))) => (Fault::Crash, "Crashed", format!("{error:#}")),
        Ok(Ok(Err(Ended::Interrupted(error)))) => (Fault::Dependency, "Interrupted", format!("{error:#}")),
        Ok(Ok(Err(Ended::Stopped))) => {
            (Fault::Dependency, "Interrupted", "stopped without a reason".to_owned())
        }
        Ok(Err(_)) => {
            (Fault::Job, "Panic", "the code of the job panicked; the worker's log says where".to_owned())
        }
        Err(_) => (Fault::Job, "Timeout", format!("longer than {} s", claimed.timeout_seconds)),
    };
    let error = (kind.to_owned(), message.chars().take(LONGEST_ERROR).collect::<String>());
    let outcome = judged(claimed, fault, error.clone(), shared.retry_seconds);
    let outcome_name = named(&outcome);
    tracing::warn!(job_id = %claimed.job_id, job_type = claimed.job_type, attempt = claimed.attempt, error = error.1, outcome = outcome_name, "an attempt failed");
    Some(outcome)
}

/// What made an attempt fail.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// What was asked for: it fails each time.
    Request,
    /// The job: another attempt may succeed.
    Job,
    /// The job, in such a way that its process died.
    Crash,
    /// Something that the job needs.
    Dependency,
}

/// What becomes of a job after an attempt that failed.
fn judged(claimed: &Claimed, fault: Fault, error: (String, String), retry_seconds: f64) -> Outcome {
    let last = claimed.counted_attempt() >= claimed.max_attempts;
    let doubled = pause(retry_seconds, claimed.counted_attempt());
    match fault {
        Fault::Request => Outcome::Failed { error },
        Fault::Job if last => Outcome::Failed { error },
        Fault::Job => Outcome::Retry { error, after: doubled },
        Fault::Crash => Outcome::Crashed {
            error,
            after: (!last && claimed.crashes + 1 < MOST_CRASHES).then_some(doubled),
        },
        Fault::Dependency => Outcome::Interrupted { error, after: pause(retry_seconds, 1) },
    }
}

/// An outcome's name, for traces.
pub(crate) fn named(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Completed(_) => "completed",
        Outcome::Failed { .. } | Outcome::Crashed { after: None, .. } => "failed",
        Outcome::Retry { .. } | Outcome::Crashed { .. } => "retry",
        Outcome::Interrupted { .. } => "interrupted",
        Outcome::Cancelled => "cancelled",
        Outcome::HandedBack => "handed_back",
    }
}

/// Seconds before the next attempt: doubled each time, give or take half, so that jobs that failed together
/// do not come back together.
fn pause(base: f64, attempt: i32) -> f64 {
    // A version 4 UUID begins with random bytes; the job's id, of version 7, begins with a time.
    let random = u16::from_be_bytes([Uuid::new_v4().as_bytes()[0], Uuid::new_v4().as_bytes()[1]]);
    let jitter = f64::from(random) / f64::from(u16::MAX) + 0.5;
    (base * 2.0_f64.powi(attempt.clamp(1, 30) - 1)).min(LONGEST_PAUSE) * jitter
}

/// Runs the code of a job here, or in a process of its own when it may take more memory than there is.
async fn place(shared: Shared, run: Run) -> Result<Value, Ended> {
    let kind = kind(&run.claimed)?;
    match memory::needed_mib(&kind) {
        None => code(&run, kind).await,
        Some(needed) => process::run(&shared, &run, needed).await,
    }
}

/// What a job asks for.
pub(crate) fn kind(claimed: &Claimed) -> Result<Kind, Ended> {
    Kind::stored(&claimed.job_type, claimed.parameters.clone())
        .map_err(|why| Ended::GiveUp(anyhow::anyhow!(why)))
}

/// Runs the code of a job in this process.
pub(crate) async fn code(run: &Run, kind: Kind) -> Result<Value, Ended> {
    match kind {
        Kind::Diagnostic(diagnostic) => diagnostic::run(run, diagnostic).await,
        Kind::Report(report) => report::run(run, report).await,
        Kind::Longtail(longtail) => analyses::run(run, analyses::Job::Longtail(longtail)).await,
        Kind::Snowshoe(campaigns) => analyses::run(run, analyses::Job::Snowshoe(campaigns)).await,
        Kind::Botnet(campaigns) => analyses::run(run, analyses::Job::Botnet(campaigns)).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_differ() {
        for (attempt, base) in [(1, 5.0), (2, 10.0), (3, 20.0), (30, 600.0)] {
            let pauses: Vec<_> = (0..200).map(|_| pause(5.0, attempt)).collect();
            let (least, most) = pauses
                .iter()
                .fold((f64::MAX, 0.0_f64), |(least, most), &pause| (least.min(pause), most.max(pause)));
            assert!(least >= base * 0.5 && most <= base * 1.5, "{least} to {most}");
            assert!(least < base * 0.7 && most > base * 1.3, "200 pauses within {least} to {most}");
        }
    }
}
