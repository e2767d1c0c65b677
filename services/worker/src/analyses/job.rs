//! The analyses as jobs.

use analysis::{campaign, longtail};
use chrono::Utc;
use findings::Finding;
use jobs::{AnalysisRange, Campaigns, Longtail};
use serde_json::{Value, json};
use store::DataRange;
use tokio::sync::watch;

use super::{
    Answer, Question, ask,
    desk::{Before, Clock, Desk, JobRun, Keep, Told},
    markdown,
};
use crate::attempt::{Ended, Run};

/// Most findings of a result; the rest is in the table.
const MOST_FINDINGS: usize = 100;
/// Most bytes of findings in a result: it must fit into one gRPC answer of 4 MiB.
const LARGEST_RESULT: usize = 1 << 20;

pub(crate) enum Job {
    Longtail(Longtail),
    Snowshoe(Campaigns),
    Botnet(Campaigns),
}

/// Runs an analysis. A later attempt skips what this one stored.
pub(crate) async fn run(run: &Run, job: Job) -> Result<Value, Ended> {
    let (question, range, full) = question(job);
    let clock = Clock::start();
    let before = Before::of(run.claimed.checkpoint.as_ref());
    let to = range.until.or(before.until).unwrap_or_else(Utc::now);
    let from = to - chrono::Duration::try_seconds(range.window_seconds).unwrap_or_default();
    let range = DataRange { from, to, sensor: range.sensor };
    let keep = Keep::Job(Box::new(JobRun { run: run.clone(), until: to }));
    let (desk, hear) = Desk::new(Some(run.store.clone()), run.tasks.clone(), run.stopping(), keep);
    let desk = desk.resumed(before.done);
    // Both run side by side: progress may wait for the connection that the analysis holds, so the analysis
    // must go on meanwhile.
    let answer = tokio::select! {
        biased;
        answer = ask(&desk, &question, &range, full) => answer?,
        Err(ended) = write_progress(run, before.done, hear) => return Err(ended),
    };
    run.progress_of("done", 1.0, answer.sessions.cast_signed()).await?;
    Ok(result(&question, &range, &answer, clock.seconds()))
}

/// Writes the progress of the analysis until the desk is dropped or the attempt has ended.
async fn write_progress(run: &Run, before: f64, mut hear: watch::Receiver<Told>) -> Result<(), Ended> {
    let mut resumed = false;
    while hear.changed().await.is_ok() {
        let told = hear.borrow_and_update().clone();
        // No progress before the number of sessions is known.
        if told.sessions == 0 {
            continue;
        }
        if !resumed {
            run.resumed_at(before * told.sessions as f64).await;
            resumed = true;
        }
        // 1.0 is reported after the findings are stored.
        run.progress_of(&told.step, told.done.min(0.999), told.sessions.cast_signed()).await?;
    }
    Ok(())
}

fn question(job: Job) -> (Question, AnalysisRange, bool) {
    let campaigns = |job: &Campaigns| campaign::Parameters {
        threshold: job.threshold,
        min_sources: job.min_sources.unsigned_abs() as usize,
    };
    match job {
        Job::Longtail(job) => {
            let parameters = longtail::Parameters {
                threshold: job.threshold,
                seed: job.seed.unsigned_abs(),
                ..longtail::Parameters::default()
            };
            (Question::Longtail(parameters), job.range, job.full)
        }
        Job::Snowshoe(job) => {
            (Question::Campaigns(campaign::Kind::Snowshoe, campaigns(&job)), job.range, false)
        }
        Job::Botnet(job) => (Question::Campaigns(campaign::Kind::Botnet, campaigns(&job)), job.range, false),
    }
}

fn result(question: &Question, range: &DataRange, answer: &Answer, seconds: f64) -> Value {
    let kept = answer.kept.unwrap_or_default();
    let mut left = LARGEST_RESULT;
    let findings: Vec<_> = answer
        .findings
        .iter()
        .take(MOST_FINDINGS)
        .map(Finding::public_json)
        .take_while(|finding| {
            let length = finding.to_string().len();
            left = left.saturating_sub(length);
            left > 0
        })
        .collect();
    json!({
        "analysis": question.kind(), "analysis_type": analysis_type(answer), "from": range.from, "to": range.to, "sensor": range.sensor,
        "sessions": answer.sessions, "cached_sessions": answer.cached_sessions, "new_sessions": answer.sessions - answer.cached_sessions,
        "duration_seconds": seconds, "summary": findings::public(&answer.summary), "findings_total": answer.findings.len(), "findings_new": kept.new,
        "findings_updated": kept.updated, "findings_unchanged": kept.unchanged, "findings": findings,
        "markdown": markdown(question, Some((range.from, range.to)), answer, seconds),
    })
}

/// `incremental` if a part came from an earlier run.
pub(crate) fn analysis_type(answer: &Answer) -> &'static str {
    if answer.cached_sessions > 0 { "incremental" } else { "full" }
}
