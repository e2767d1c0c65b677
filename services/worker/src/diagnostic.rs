//! `diagnostic`: steps that do nothing, in the way that is asked for.

use std::time::Duration;

use jobs::{Diagnostic, Fail};
use serde_json::{Value, json};

use crate::attempt::{Ended, Run};

/// Each step leaves a row, in the transaction of its checkpoint.
pub(crate) async fn run(run: &Run, job: Diagnostic) -> Result<Value, Ended> {
    let done = run
        .claimed
        .checkpoint
        .as_ref()
        .and_then(|checkpoint| checkpoint["step"].as_i64())
        .unwrap_or_default();
    run.resumed_at(done as f64).await;
    let memory = memory(job.memory_mb)?;
    for step in done..job.steps {
        fail(run, &job, step)?;
        run.progress(&format!("step {} of {}", step + 1, job.steps), step, job.steps).await?;
        run.pause(Duration::from_secs_f64(job.step_seconds)).await?;
        let mut transaction = run.store.begin().await?;
        let first = store::diagnostic_step(
            &mut transaction,
            run.claimed.job_id,
            run.claimed.attempt,
            step,
            &run.worker,
        )
        .await?;
        if !first {
            return Err(Ended::GiveUp(anyhow::anyhow!(
                "step {step} was done before, and no checkpoint says so"
            )));
        }
        run.commit(transaction, Some(&json!({ "step": step + 1 }))).await?;
    }
    fail(run, &job, job.steps)?;
    if job.steps > 0 {
        run.progress("done", job.steps, job.steps).await?;
    }
    Ok(
        json!({ "steps": job.steps, "resumed_at": done, "attempt": run.claimed.attempt, "worker": run.worker, "memory_mb": memory.len() >> 20 }),
    )
}

fn memory(mib: i64) -> Result<Vec<u8>, Ended> {
    let bytes = usize::try_from(mib << 20).unwrap_or_default();
    let mut memory = Vec::new();
    memory
        .try_reserve_exact(bytes)
        .map_err(|error| Ended::GiveUp(anyhow::anyhow!("hold {mib} MiB: {error}")))?;
    memory.resize(bytes, 1);
    Ok(memory)
}

#[allow(clippy::panic, reason = "asked for")]
fn fail(run: &Run, job: &Diagnostic, step: i64) -> Result<(), Ended> {
    if step != job.fail_at_step || i64::from(run.claimed.attempt) > job.fail_attempts {
        return Ok(());
    }
    let why = || anyhow::anyhow!("failed before step {step}, as it was asked to");
    match job.fail {
        Fail::Never => Ok(()),
        Fail::Retry => Err(Ended::Retry(why())),
        Fail::GiveUp => Err(Ended::GiveUp(why())),
        Fail::Panic => panic!("before step {step}, as it was asked to"),
        Fail::Crash => std::process::abort(),
    }
}
