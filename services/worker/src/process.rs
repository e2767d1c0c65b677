//! Attempts in a process of their own: the same program, started again for one attempt.
//!
//! Memory that an allocator is refused, a stack that overflows and the kernel's OOM killer end a process, and
//! no code can catch that. So what may need much runs in a child with a limit on its memory: it dies alone,
//! and the worker knows whose fault it was. The child writes to the database by itself, guarded by its
//! attempt like any other; the worker keeps the lease, so a child that outlives its worker writes nothing for
//! long.
//!
//! The worker writes one line to the child's standard input, the attempt, and closes it to stop the child.
//! The child writes lines too: progress, then its end.

use std::{
    os::unix::process::ExitStatusExt,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::Context as _;
use boot::{Task, Tasks};
use bus::News;
use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{Claimed, Store};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, Command},
};

use crate::{
    Shared,
    attempt::{self, Audience, Ended, Run},
};

/// The command of this program that runs an attempt.
pub const COMMAND: &str = "attempt";
/// Connections of an attempt's process: no code holds two at a time.
const CONNECTIONS: u32 = 1;
/// How long a child that was asked to stop may take to end.
const STOP_LIMIT: Duration = Duration::from_secs(3);
/// Longest line of a child's log that an error quotes.
const QUOTED: usize = 300;

/// What a child is given.
#[derive(Serialize, Deserialize)]
struct Order {
    claimed: Claimed,
    worker: String,
    database_url: String,
    memory_mib: u32,
}

/// What a child says, one JSON object a line.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Said {
    Progress(jobs::Status),
    Completed(Value),
    Retry(String),
    GiveUp(String),
    Interrupted(String),
    /// The attempt is not the one that runs any more.
    Lost,
    Stopped,
}

/// Says something to the worker.
pub(crate) fn say(said: &Said) {
    boot::say!("{}", serde_json::to_string(said).unwrap_or_default());
}

/// Runs an attempt in a child that may take as much memory as is reserved for it.
pub(crate) async fn run(shared: &Shared, run: &Run, needed: u32) -> Result<Value, Ended> {
    let mib =
        shared.memory.granted(&run.claimed, needed).map_err(|why| Ended::GiveUp(anyhow::anyhow!(why)))?;
    // Half of its time: waiting for others is not its fault, and the sweep must not take it for late.
    let patience = Duration::from_secs(u64::from(run.claimed.timeout_seconds.unsigned_abs())) / 2;
    let stop = run.stopping();
    let reserved = tokio::select! {
        reserved = tokio::time::timeout(patience, shared.memory.reserve(mib)) => reserved,
        () = stop.cancelled() => return Err(Ended::Stopped),
    };
    let Ok(Some(reserved)) = reserved else {
        return Err(Ended::Interrupted(anyhow::anyhow!(
            "waited too long for {mib} MiB of memory, which other jobs have"
        )));
    };
    let order = Order {
        claimed: run.claimed.clone(),
        worker: run.worker.clone(),
        database_url: shared.store.url().to_owned(),
        memory_mib: reserved.mib,
    };
    // Nothing of this is the job's fault: the machine has no process left, or the child died before it knew
    // its job.
    let (mut child, input) = start(&order).await.map_err(Ended::Interrupted)?;
    let log = forward_log(&shared.tasks, &mut child);
    let mut ended = None;
    let mut lines = child.stdout.take().map(|out| BufReader::new(out).lines());
    let listening = async {
        while let Some(lines) = &mut lines
            && let Ok(Some(line)) = lines.next_line().await
        {
            match serde_json::from_str(&line) {
                Ok(Said::Progress(status)) => attempt::tell(&shared.bus, News::Progress, &status).await,
                Ok(said) => ended = Some(said),
                Err(error) => tracing::debug!(%error, "a line of an attempt's process was not understood"),
            }
        }
    };
    tokio::select! {
        () = listening => (),
        () = stop.cancelled() => (),
    }
    // The end of its input asks it to stop.
    drop(input);
    let status = match tokio::time::timeout(STOP_LIMIT, child.wait()).await {
        Ok(status) => status.map_err(|error| {
            Ended::Interrupted(anyhow::Error::from(error).context("wait for the attempt's process"))
        })?,
        Err(_) => {
            child.kill().await.ok();
            return Err(Ended::Stopped);
        }
    };
    match ended {
        Some(Said::Completed(result)) => Ok(result),
        Some(Said::Retry(why)) => Err(Ended::Retry(anyhow::anyhow!(why))),
        Some(Said::GiveUp(why)) => Err(Ended::GiveUp(anyhow::anyhow!(why))),
        Some(Said::Interrupted(why)) => Err(Ended::Interrupted(anyhow::anyhow!(why))),
        Some(Said::Lost) => Err(run.lost()),
        Some(Said::Stopped | Said::Progress(_)) => Err(Ended::Stopped),
        None if stop.is_cancelled() => Err(Ended::Stopped),
        // The log ends with the process, unless something that it started has it.
        None => Err(died(
            status,
            reserved.mib,
            &tokio::time::timeout(STOP_LIMIT, log.result())
                .await
                .ok()
                .and_then(Result::ok)
                .unwrap_or_default(),
        )),
    }
}

async fn start(order: &Order) -> anyhow::Result<(Child, tokio::process::ChildStdin)> {
    // On Linux the program that runs, even when its file was replaced since.
    let program = if cfg!(target_os = "linux") {
        "/proc/self/exe".into()
    } else {
        std::env::current_exe().context("find this program")?
    };
    let mut command = Command::new(program);
    // In a group of its own: a Ctrl-C in the terminal is for the worker, which decides when the job stops.
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
    let mut line = serde_json::to_vec(order).context("write the attempt")?;
    line.push(b'\n');
    input.write_all(&line).await.context("hand the attempt to its process")?;
    Ok((child, input))
}

/// Copies a child's log into ours; the last line tells why it died.
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

/// Why a child ended without a word.
fn died(status: ExitStatus, mib: u32, last_line: &str) -> Ended {
    let said = boot::safe_up_to(last_line.trim(), QUOTED);
    let said = if said.is_empty() { String::new() } else { format!(": {said}") };
    match status.signal() {
        // Somebody stops everything.
        Some(signal @ (1 | 2 | 15)) => {
            Ended::Interrupted(anyhow::anyhow!("its process was ended by signal {signal}"))
        }
        Some(9) => Ended::Crashed(anyhow::anyhow!(
            "its process was killed (signal 9), as when the machine or its group has no memory left; it had {mib} MiB"
        )),
        Some(signal) => Ended::Crashed(anyhow::anyhow!(
            "its process died of signal {signal}, with a limit of {mib} MiB of memory{said}"
        )),
        None => Ended::Crashed(anyhow::anyhow!("its process ended ({status}){said}")),
    }
}

/// What `cowriestream attempt` does: reads an attempt, runs it, says how it ended.
pub async fn attempt(tasks: Tasks) -> anyhow::Result<()> {
    let line = tasks.compute(read_line).result().await?.context("read the attempt")?;
    let order: Order =
        serde_json::from_str(&line).context("read the attempt: this command is for workers")?;
    limit(order.memory_mib);
    let said = match Store::connect(&store::StoreArgs {
        database_url: Some(order.database_url),
        database_connections: CONNECTIONS,
    })
    .await
    {
        Ok(store) => {
            work(Run::new(order.claimed, order.worker, store, tasks.detached(), Audience::Parent)).await
        }
        Err(error) => Said::Interrupted(format!("{error:#}")),
    };
    say(&said);
    // Whatever still computes is of no use to anybody.
    std::process::exit(0)
}

/// Bounds what this process may allocate, and offers it to the OOM killer before any other.
fn limit(mib: u32) {
    let bytes = Some(u64::from(mib) << 20);
    if let Err(error) = setrlimit(Resource::Data, Rlimit { current: bytes, maximum: bytes }) {
        tracing::warn!(%error, mib, "could not limit the memory of an attempt");
    }
    // Only Linux has it, and raising it needs no right.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
}

/// A line of standard input; empty when it was closed.
fn read_line() -> std::io::Result<String> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    Ok(line)
}

async fn work(run: Run) -> Said {
    let stop = run.stopping();
    let (code, mine) = (run.clone(), run.clone());
    let ended = run.tasks.start(async move { attempt::code(&code, attempt::kind(&code.claimed)?).await });
    let input = run.tasks.compute(read_line);
    let watching = async move {
        // Nothing comes any more: its end says that the worker is gone, or wants it to stop.
        let _ = input.result().await;
        stop.cancel();
        tokio::time::sleep(STOP_LIMIT).await;
    };
    let ended = tokio::select! {
        ended = ended.result() => ended,
        () = watching => return Said::Stopped,
    };
    match ended {
        Ok(Ok(result)) => Said::Completed(result),
        Ok(Err(Ended::Retry(error))) => Said::Retry(format!("{error:#}")),
        Ok(Err(Ended::GiveUp(error))) => Said::GiveUp(format!("{error:#}")),
        Ok(Err(Ended::Interrupted(error) | Ended::Crashed(error))) => Said::Interrupted(format!("{error:#}")),
        Ok(Err(Ended::Stopped)) if mine.is_lost() => Said::Lost,
        Ok(Err(Ended::Stopped)) => Said::Stopped,
        Err(_) => Said::Retry("the code of the job panicked; the worker's log says where".to_owned()),
    }
}
