//! Runs one attempt to its end, and decides what becomes of the job.

use std::time::Duration;

use store::jobs::{Claimed, Outcome};
use uuid::Uuid;

use crate::{
    error::AttemptError,
    job_types, process,
    run::{JobResult, Run},
    shared::Shared,
    stop::StopReason,
};

/// Longest pause before another attempt, in seconds.
const LONGEST_PAUSE: f64 = 600.0;
/// A job whose attempts killed their process this many times fails, even if it has attempts left.
const MOST_CRASHES: i32 = 2;
/// Longest error that is stored, in characters.
const LONGEST_ERROR: usize = 2_000;
/// How long stopped code may run on before it is abandoned. Its writes are refused.
const STOP_GRACE: Duration = Duration::from_millis(500);

/// How the task of an attempt ended.
enum End {
    Returned(JobResult),
    Panicked,
    TimedOut,
}

/// Runs an attempt to its end. `None`: it lost its lease, so it has no outcome.
pub(crate) async fn run(shared: &Shared, run: Run) -> Option<Outcome> {
    let end = wait(shared, &run).await;
    let failed = match (end, run.stop_handle().reason()) {
        (End::Returned(Ok(result)), _) => return Some(Outcome::Completed(result)),
        (End::Returned(Err(_)), Some(StopReason::Cancelled)) => return Some(Outcome::Cancelled),
        (End::Returned(Err(_)), Some(StopReason::HandedBack)) => return Some(Outcome::HandedBack),
        (End::Returned(Err(_)), Some(StopReason::LeaseLost)) => return None,
        (End::Returned(Err(error)), None) => Failed::from_error(error),
        (End::Panicked, _) => {
            Failed::new(Fault::Job, "Panic", "the code of the job panicked; the worker's log says where")
        }
        (End::TimedOut, _) => {
            Failed::new(Fault::Job, "Timeout", &format!("longer than {} s", run.claimed.timeout_seconds))
        }
    };
    Some(failed.outcome(&run.claimed, shared.retry_seconds))
}

/// Waits until the code returns, its time is over, or it was stopped and does not return soon.
async fn wait(shared: &Shared, run: &Run) -> End {
    let code = run.tasks.start(execute(shared.clone(), run.clone()));
    let limit = Duration::from_secs(run.claimed.timeout_seconds.max(1).unsigned_abs().into());
    let stop = run.stop_token();
    let stopped = async {
        stop.cancelled().await;
        tokio::time::sleep(STOP_GRACE).await;
    };
    let end = tokio::select! {
        end = tokio::time::timeout(limit, code.result()) => match end {
            Ok(Ok(result)) => End::Returned(result),
            Ok(Err(_)) => End::Panicked,
            Err(_) => End::TimedOut,
        },
        () = stopped => End::Returned(Err(AttemptError::Stopped)),
    };
    stop.cancel();
    end
}

/// Runs the code of a job here, or in a process of its own.
async fn execute(shared: Shared, run: Run) -> JobResult {
    let code = job_types::code(&run.claimed)?;
    match code.process_memory_mib() {
        None => code.execute(&run).await,
        Some(needed) => process::run(&shared, &run, needed).await,
    }
}

/// What made an attempt fail.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// The request: every attempt would fail.
    Request,
    /// The job: another attempt may succeed.
    Job,
    /// The job, and it killed its process.
    Crash,
    /// Something that the job needs is unavailable.
    Dependency,
}

struct Failed {
    fault: Fault,
    /// The kind and the text of the error.
    error: (String, String),
}

impl Failed {
    fn new(fault: Fault, kind: &str, message: &str) -> Self {
        Self { fault, error: (kind.to_owned(), message.chars().take(LONGEST_ERROR).collect()) }
    }

    fn from_error(error: AttemptError) -> Self {
        let (fault, kind) = match &error {
            AttemptError::Retry(_) => (Fault::Job, "Retry"),
            AttemptError::GiveUp(_) => (Fault::Request, "GiveUp"),
            AttemptError::Crashed(_) => (Fault::Crash, "Crashed"),
            AttemptError::Interrupted(_) => (Fault::Dependency, "Interrupted"),
            AttemptError::Stopped => {
                return Self::new(Fault::Dependency, "Interrupted", "stopped without a reason");
            }
        };
        Self::new(fault, kind, &format!("{:#}", anyhow::Error::from(error)))
    }

    /// Logs the failure and decides whether there is another attempt.
    fn outcome(self, claimed: &Claimed, retry_seconds: f64) -> Outcome {
        let error = self.error.1.clone();
        let outcome = self.decide(claimed, retry_seconds);
        tracing::warn!(
            job_id = %claimed.job_id, job_type = claimed.job_type, attempt = claimed.attempt, error,
            outcome = outcome_name(&outcome), "an attempt failed"
        );
        outcome
    }

    fn decide(self, claimed: &Claimed, retry_seconds: f64) -> Outcome {
        let Self { fault, error } = self;
        let is_last = claimed.counted_attempt() >= claimed.max_attempts;
        let backoff = backoff(retry_seconds, claimed.counted_attempt());
        match fault {
            Fault::Request => Outcome::Failed { error },
            Fault::Job if is_last => Outcome::Failed { error },
            Fault::Job => Outcome::Retry { error, after: backoff },
            Fault::Crash => {
                let again = !is_last && claimed.crashes + 1 < MOST_CRASHES;
                Outcome::Crashed { error, after: again.then_some(backoff) }
            }
            // It does not count as an attempt, so the pause does not grow.
            Fault::Dependency => Outcome::Interrupted { error, after: self::backoff(retry_seconds, 1) },
        }
    }
}

/// The name of an outcome, for logs and traces.
pub(crate) fn outcome_name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Completed(_) => "completed",
        Outcome::Failed { .. } | Outcome::Crashed { after: None, .. } => "failed",
        Outcome::Retry { .. } | Outcome::Crashed { .. } => "retry",
        Outcome::Interrupted { .. } => "interrupted",
        Outcome::Cancelled => "cancelled",
        Outcome::HandedBack => "handed_back",
    }
}

/// Seconds before the next attempt: doubled each time, plus or minus half, so that jobs that failed together
/// do not come back together.
fn backoff(base: f64, attempt: i32) -> f64 {
    // A version 4 UUID begins with random bytes. The job's id, of version 7, begins with a time.
    let random = u16::from_be_bytes([Uuid::new_v4().as_bytes()[0], Uuid::new_v4().as_bytes()[1]]);
    let jitter = f64::from(random) / f64::from(u16::MAX) + 0.5;
    (base * 2.0_f64.powi(attempt.clamp(1, 30) - 1)).min(LONGEST_PAUSE) * jitter
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_differ() {
        for (attempt, base) in [(1, 5.0), (2, 10.0), (3, 20.0), (30, 600.0)] {
            let pauses: Vec<_> = (0..200).map(|_| backoff(5.0, attempt)).collect();
            let (least, most) = pauses
                .iter()
                .fold((f64::MAX, 0.0_f64), |(least, most), &pause| (least.min(pause), most.max(pause)));
            assert!(least >= base * 0.5 && most <= base * 1.5, "{least} to {most}");
            assert!(least < base * 0.7 && most > base * 1.3, "200 pauses within {least} to {most}");
        }
    }
}
