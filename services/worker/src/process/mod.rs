//! Attempts in a process of their own: the same program, started again for one attempt.
//!
//! A refused allocation, a stack overflow and the kernel's OOM killer end a process, and no code can catch
//! that. So an attempt that may need much memory runs in a child process with a limit on its memory: it dies
//! alone, and the worker knows which job it was. The child writes to the database itself, guarded by its
//! attempt like any other. The worker keeps the lease, so a child that outlives its worker soon writes
//! nothing.
//!
//! The worker writes one line to the child's standard input, the assignment, and closes it to stop the child.
//! The child writes [`ChildMessage`]s.

mod child;

use std::{
    os::unix::process::ExitStatusExt,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::Context as _;
use boot::{CancellationToken, Task, Tasks};
use bus::{Bus, News};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdout, Command},
};

pub use self::child::attempt;
use crate::{
    error::AttemptError,
    memory::Reserved,
    messages::{Assignment, ChildMessage},
    publish,
    run::{JobResult, Run},
    shared::Shared,
    stop::StopReason,
};

/// The command of this program that runs an attempt.
const COMMAND: &str = "attempt";
/// How long a child that was asked to stop may take to end.
const STOP_LIMIT: Duration = Duration::from_secs(3);
/// Longest line of a child's log that an error quotes.
const QUOTED: usize = 300;

/// Runs an attempt in a child process, which may use the memory that is reserved for it.
pub(crate) async fn run(shared: &Shared, run: &Run, needed_mib: u32) -> JobResult {
    let stop = run.stop_token();
    let reserved = reserve(shared, run, needed_mib, &stop).await?;
    let assignment = Assignment {
        claimed: run.claimed.clone(),
        worker: run.worker.clone(),
        database_url: shared.store.url().to_owned(),
        memory_mib: reserved.mib,
    };
    // A failed start is not the job's fault: the machine has no process left, or the child died before it
    // read its assignment.
    let (mut child, input) = start(&assignment).await.map_err(AttemptError::Interrupted)?;
    let log = forward_log(&shared.tasks, &mut child);
    let mut end = None;
    tokio::select! {
        () = listen(&shared.bus, child.stdout.take(), &mut end) => (),
        () = stop.cancelled() => (),
    }
    // The end of its input asks the child to stop.
    drop(input);
    let Ok(status) = tokio::time::timeout(STOP_LIMIT, child.wait()).await else {
        child.kill().await.ok();
        return Err(AttemptError::Stopped);
    };
    let waiting = "wait for the attempt's process";
    let status =
        status.map_err(|error| AttemptError::Interrupted(anyhow::Error::from(error).context(waiting)))?;
    match end {
        Some(message) => ended(run, message),
        None if stop.is_cancelled() => Err(AttemptError::Stopped),
        None => Err(died(status, reserved.mib, &last_line(log).await)),
    }
}

async fn reserve(
    shared: &Shared,
    run: &Run,
    needed_mib: u32,
    stop: &CancellationToken,
) -> Result<Reserved, AttemptError> {
    let mib = shared
        .memory
        .grant(&run.claimed, needed_mib)
        .map_err(|why| AttemptError::GiveUp(anyhow::anyhow!(why)))?;
    // Half of the attempt's time: waiting for other jobs must not become its timeout.
    let patience = Duration::from_secs(u64::from(run.claimed.timeout_seconds.unsigned_abs())) / 2;
    let reserved = tokio::select! {
        reserved = tokio::time::timeout(patience, shared.memory.reserve(mib)) => reserved,
        () = stop.cancelled() => return Err(AttemptError::Stopped),
    };
    reserved.ok().flatten().ok_or_else(|| {
        AttemptError::Interrupted(anyhow::anyhow!(
            "waited too long for {mib} MiB of memory, which other jobs have"
        ))
    })
}

async fn start(assignment: &Assignment) -> anyhow::Result<(Child, tokio::process::ChildStdin)> {
    // On Linux, the program that runs, even if its file was replaced since.
    let program = if cfg!(target_os = "linux") {
        "/proc/self/exe".into()
    } else {
        std::env::current_exe().context("find this program")?
    };
    let mut command = Command::new(program);
    // In a process group of its own: Ctrl-C in the terminal is for the worker, which decides when the job
    // stops.
    command
        .arg0("cowriestream")
        .arg(COMMAND)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    let mut child = command.spawn().context("start a process for the attempt")?;
    let mut input = child.stdin.take().context("the attempt's process has no input")?;
    let mut line = serde_json::to_vec(assignment).context("write the attempt")?;
    line.push(b'\n');
    input.write_all(&line).await.context("hand the attempt to its process")?;
    Ok((child, input))
}

/// Publishes the progress of a child until its output ends. Sets `end` to the message it ends with.
async fn listen(bus: &Bus, output: Option<ChildStdout>, end: &mut Option<ChildMessage>) {
    let Some(output) = output else { return };
    let mut lines = BufReader::new(output).lines();
    let mut warned = false;
    while let Ok(Some(line)) = lines.next_line().await {
        match serde_json::from_str(&line) {
            Ok(ChildMessage::Progress(status)) => publish::publish(bus, News::Progress, &status).await,
            Ok(message) => *end = Some(message),
            Err(error) if !std::mem::replace(&mut warned, true) => {
                tracing::warn!(%error, "could not read a message of an attempt's process");
            }
            Err(_) => (),
        }
    }
}

fn ended(run: &Run, message: ChildMessage) -> JobResult {
    match message {
        ChildMessage::Completed(result) => Ok(result),
        ChildMessage::Retry(why) => Err(AttemptError::Retry(anyhow::anyhow!(why))),
        ChildMessage::GiveUp(why) => Err(AttemptError::GiveUp(anyhow::anyhow!(why))),
        ChildMessage::Interrupted(why) => Err(AttemptError::Interrupted(anyhow::anyhow!(why))),
        ChildMessage::LeaseLost => {
            run.stop_handle().note(StopReason::LeaseLost);
            Err(AttemptError::Stopped)
        }
        ChildMessage::Stopped | ChildMessage::Progress(_) => Err(AttemptError::Stopped),
    }
}

/// Copies a child's log into the worker's. The last line says why the child died.
fn forward_log(tasks: &Tasks, child: &mut Child) -> Task<String> {
    let errors = child.stderr.take();
    tasks.start(async move {
        let mut last = String::new();
        let mut lines = errors.map(|errors| BufReader::new(errors).lines());
        while let Some(lines) = &mut lines
            && let Ok(Some(line)) = lines.next_line().await
        {
            eprintln!("{line}");
            if !line.trim().is_empty() {
                last = line;
            }
        }
        last
    })
}

/// The log ends with the process, unless a process that it started still has it open: hence the limit.
async fn last_line(log: Task<String>) -> String {
    let line = tokio::time::timeout(STOP_LIMIT, log.result()).await;
    line.ok().and_then(Result::ok).unwrap_or_default()
}

/// Why a child ended without a message.
fn died(status: ExitStatus, mib: u32, last_line: &str) -> AttemptError {
    let quote = boot::safe_up_to(last_line.trim(), QUOTED);
    let quote = if quote.is_empty() { String::new() } else { format!(": {quote}") };
    match status.signal() {
        // SIGHUP, SIGINT, SIGTERM: the whole machine or session stops.
        Some(signal @ (1 | 2 | 15)) => {
            AttemptError::Interrupted(anyhow::anyhow!("its process was ended by signal {signal}"))
        }
        Some(9) => AttemptError::Crashed(anyhow::anyhow!(
            "its process was killed (signal 9), as when the machine or its group has no memory left; \
             it had {mib} MiB"
        )),
        Some(signal) => AttemptError::Crashed(anyhow::anyhow!(
            "its process died of signal {signal}, with a limit of {mib} MiB of memory{quote}"
        )),
        None => AttemptError::Crashed(anyhow::anyhow!("its process ended ({status}){quote}")),
    }
}
