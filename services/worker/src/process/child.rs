//! `cowriestream attempt`: the process of one attempt.

use anyhow::Context as _;
use boot::Tasks;
use rustix::process::{Resource, Rlimit, setrlimit};
use store::Store;

use super::STOP_LIMIT;
use crate::{
    backend::Backend,
    error::AttemptError,
    job_types,
    messages::{self, Assignment, ChildMessage},
    publish::Audience,
    run::{JobResult, Run},
    stop::StopReason,
};

/// Connections of an attempt's process: no code holds two at a time.
const CONNECTIONS: u32 = 1;
/// The file that sets how early the kernel kills this process for memory, and its highest value.
const OOM_SCORE: (&str, &str) = ("/proc/self/oom_score_adj", "1000");

/// Reads an assignment, runs it, and reports how it ended.
pub async fn attempt(tasks: Tasks) -> anyhow::Result<()> {
    let line = tasks.compute(read_line).result().await?.context("read the attempt")?;
    let Assignment { claimed, worker, database_url, memory_mib } =
        serde_json::from_str(&line).context("read the attempt: this command is for workers")?;
    limit_memory(memory_mib);
    let args = store::StoreArgs { database_url: Some(database_url), database_connections: CONNECTIONS };
    let end = match Store::connect(&args).await {
        Ok(store) => {
            let backend = Backend::for_attempt(store, &claimed, &worker);
            execute(Run::new(claimed, worker, backend, tasks.detached(), Audience::Worker)).await
        }
        Err(error) => ChildMessage::Interrupted(format!("{error:#}")),
    };
    messages::send(&end);
    // Threads that still compute would delay the exit.
    std::process::exit(0)
}

/// Limits what this process may allocate, and makes it the first choice of the OOM killer.
fn limit_memory(mib: u32) {
    let bytes = Some(u64::from(mib) << 20);
    if let Err(error) = setrlimit(Resource::Data, Rlimit { current: bytes, maximum: bytes }) {
        tracing::warn!(%error, mib, "could not limit the memory of an attempt");
    }
    // Only Linux has this file. Raising the value needs no privilege.
    let _ = std::fs::write(OOM_SCORE.0, OOM_SCORE.1);
}

/// A line of standard input; empty when it was closed.
fn read_line() -> std::io::Result<String> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    Ok(line)
}

async fn execute(run: Run) -> ChildMessage {
    let stop = run.stop_token();
    let input = run.tasks.compute(read_line);
    let code = {
        let run = run.clone();
        run.tasks.clone().start(async move { job_types::code(&run.claimed)?.execute(&run).await })
    };
    let abandoned = async move {
        // The worker closes the input to stop this process, and so does its death.
        let _ = input.result().await;
        stop.cancel();
        tokio::time::sleep(STOP_LIMIT).await;
    };
    tokio::select! {
        result = code.result() => match result {
            Ok(result) => message(&run, result),
            Err(_) => {
                ChildMessage::Retry("the code of the job panicked; the worker's log says where".to_owned())
            }
        },
        () = abandoned => ChildMessage::Stopped,
    }
}

fn message(run: &Run, result: JobResult) -> ChildMessage {
    match result {
        Ok(result) => ChildMessage::Completed(result),
        Err(AttemptError::Retry(error)) => ChildMessage::Retry(format!("{error:#}")),
        Err(AttemptError::GiveUp(error)) => ChildMessage::GiveUp(format!("{error:#}")),
        Err(AttemptError::Interrupted(error) | AttemptError::Crashed(error)) => {
            ChildMessage::Interrupted(format!("{error:#}"))
        }
        Err(AttemptError::Stopped) if run.stop_handle().reason() == Some(StopReason::LeaseLost) => {
            ChildMessage::LeaseLost
        }
        Err(AttemptError::Stopped) => ChildMessage::Stopped,
    }
}
