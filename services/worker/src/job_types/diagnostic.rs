//! `diagnostic`: steps that do nothing, and fail as requested.

use std::time::Duration;

use futures::future::BoxFuture;
use jobs::{Diagnostic, Fail};
use serde_json::json;

use super::{JobCode, PROCESS_MIB};
use crate::{
    error::AttemptError,
    run::{JobResult, Run},
    step::Step,
};

impl JobCode for Diagnostic {
    fn process_memory_mib(&self) -> Option<u32> {
        if self.memory_mb == 0 && self.fail != Fail::Crash {
            return None;
        }
        Some(u32::try_from(self.memory_mb).unwrap_or(u32::MAX).saturating_add(PROCESS_MIB))
    }

    fn execute<'a>(&'a self, run: &'a Run) -> BoxFuture<'a, JobResult> {
        Box::pin(execute(run, self))
    }
}

/// Each step stores a row together with its checkpoint.
async fn execute(run: &Run, job: &Diagnostic) -> JobResult {
    let checkpoint = run.claimed.checkpoint.as_ref();
    let done = checkpoint.and_then(|checkpoint| checkpoint["step"].as_i64()).unwrap_or_default();
    run.resumed_at(done as f64).await;
    let memory = hold_memory(job.memory_mb)?;
    for step in done..job.steps {
        fail_if_requested(run, job, step)?;
        run.progress(&format!("step {} of {}", step + 1, job.steps), step, job.steps).await?;
        run.pause(Duration::from_secs_f64(job.step_seconds)).await?;
        run.apply(&Step {
            diagnostic_step: Some(step),
            checkpoint: Some(json!({ "step": step + 1 })),
            ..Step::default()
        })
        .await?;
    }
    fail_if_requested(run, job, job.steps)?;
    if job.steps > 0 {
        run.progress("done", job.steps, job.steps).await?;
    }
    Ok(json!({
        "steps": job.steps, "resumed_at": done, "attempt": run.claimed.attempt, "worker": run.worker,
        "memory_mb": memory.len() >> 20,
    }))
}

fn hold_memory(mib: i64) -> Result<Vec<u8>, AttemptError> {
    let bytes = usize::try_from(mib << 20).unwrap_or_default();
    let mut memory = Vec::new();
    memory
        .try_reserve_exact(bytes)
        .map_err(|error| AttemptError::GiveUp(anyhow::anyhow!("hold {mib} MiB: {error}")))?;
    memory.resize(bytes, 1);
    Ok(memory)
}

#[allow(clippy::panic, reason = "the job requests it")]
fn fail_if_requested(run: &Run, job: &Diagnostic, step: i64) -> Result<(), AttemptError> {
    if step != job.fail_at_step || i64::from(run.claimed.attempt) > job.fail_attempts {
        return Ok(());
    }
    let error = || anyhow::anyhow!("failed before step {step}, as it was asked to");
    match job.fail {
        Fail::Never => Ok(()),
        Fail::Retry => Err(AttemptError::Retry(error())),
        Fail::GiveUp => Err(AttemptError::GiveUp(error())),
        Fail::Panic => panic!("before step {step}, as it was asked to"),
        Fail::Crash => std::process::abort(),
    }
}
