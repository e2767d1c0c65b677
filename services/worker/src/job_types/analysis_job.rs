//! What the jobs longtail, snowshoe and botnet have in common.

use std::time::Instant;

use analysis::campaign;
use findings::Finding;
use jobs::{AnalysisRange, Campaigns};
use serde_json::{Value, json};
use store::analyses::DataRange;
use tokio::sync::watch;

use crate::{
    analyses::{Analysis, AnalysisContext, AnalysisOutcome, Checkpoint, Progress, analyse, markdown},
    error::AttemptError,
    run::{JobResult, Run},
};

/// Most findings of a result; the table has all.
const MOST_FINDINGS: usize = 100;
/// Most bytes of findings in a result: it must fit into one gRPC message of 4 MiB.
const LARGEST_RESULT: usize = 1 << 20;
/// Part of the progress bar that is left for storing the findings.
const BEFORE_STORED: f64 = 0.999;

/// Runs an analysis. A later attempt continues with the days that this one did not store.
pub(super) async fn execute(run: &Run, analysis: Analysis, range: &AnalysisRange, full: bool) -> JobResult {
    let started = Instant::now();
    let checkpoint = Checkpoint::read(run.claimed.checkpoint.as_ref());
    let to = range.until.or(checkpoint.until).unwrap_or_else(boot::now);
    let from = to - chrono::Duration::try_seconds(range.window_seconds).unwrap_or_default();
    let range = DataRange { from, to, sensor: range.sensor.clone() };
    let (context, progress) = AnalysisContext::for_job(run.clone(), to, checkpoint.done);
    // Both run at the same time: a report of progress may wait for the connection that the analysis holds.
    let outcome = tokio::select! {
        biased;
        outcome = analyse(&context, &analysis, &range, full) => outcome?,
        Err(error) = write_progress(run, checkpoint.done, progress) => return Err(error),
    };
    run.progress_of_sessions("done", 1.0, outcome.sessions.cast_signed()).await?;
    let seconds = (started.elapsed().as_secs_f64() * 1e3).round() / 1e3;
    Ok(result_json(&analysis, &range, &outcome, seconds))
}

pub(super) fn campaign_parameters(job: &Campaigns) -> campaign::Parameters {
    campaign::Parameters { threshold: job.threshold, min_sources: job.min_sources.unsigned_abs() as usize }
}

/// Writes the progress of an analysis, until its context is dropped or the attempt has ended.
async fn write_progress(
    run: &Run,
    resumed_at: f64,
    mut progress: watch::Receiver<Progress>,
) -> Result<(), AttemptError> {
    let mut resumed = false;
    while progress.changed().await.is_ok() {
        let Progress { step, done, sessions } = progress.borrow_and_update().clone();
        // Without the number of sessions there is no total.
        if sessions == 0 {
            continue;
        }
        if !resumed {
            run.resumed_at(resumed_at * sessions as f64).await;
            resumed = true;
        }
        run.progress_of_sessions(&step, done.min(BEFORE_STORED), sessions.cast_signed()).await?;
    }
    Ok(())
}

fn result_json(analysis: &Analysis, range: &DataRange, outcome: &AnalysisOutcome, seconds: f64) -> Value {
    let stored = outcome.stored.unwrap_or_default();
    let mut left = LARGEST_RESULT;
    let findings: Vec<_> = outcome
        .findings
        .iter()
        .take(MOST_FINDINGS)
        .map(Finding::public_json)
        .take_while(|finding| {
            left = left.saturating_sub(finding.to_string().len());
            left > 0
        })
        .collect();
    json!({
        "analysis": analysis.kind(), "analysis_type": outcome.analysis_type(), "from": range.from,
        "to": range.to, "sensor": range.sensor, "sessions": outcome.sessions,
        "cached_sessions": outcome.cached_sessions,
        "new_sessions": outcome.sessions - outcome.cached_sessions, "duration_seconds": seconds,
        "summary": findings::public(&outcome.summary), "findings_total": outcome.findings.len(),
        "findings_new": stored.new, "findings_updated": stored.updated,
        "findings_unchanged": stored.unchanged, "findings": findings,
        "markdown": markdown(analysis, Some((range.from, range.to)), outcome, seconds),
    })
}
