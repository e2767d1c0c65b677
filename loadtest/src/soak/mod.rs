//! `loadtest soak`: a whole hub under live load, with one process or server stopped at random every few
//! seconds.
//!
//! At the end every byte must be committed, `verify` must be clean, every accepted job must have completed,
//! and memory must not have grown.

mod hub;
mod jobs;
mod logs;
mod memory;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use boot::Tasks;
use serde::Serialize;

use crate::generate::random::Random;
use hub::Hub;
use jobs::Submitter;
use memory::Memory;

/// Limit for the backlog to be committed and accepted jobs to end after the load has stopped.
const SETTLE: Duration = Duration::from_secs(300);
/// Time between two checks of a state.
const LOOK: Duration = Duration::from_millis(250);

/// `loadtest soak`
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
#[command(after_help = "Examples:
  loadtest soak --dir /var/tmp/soak
  loadtest soak --dir /var/tmp/soak --minutes 2 --sensors 8 --rate 200 --every 10

The program `cowriestream` must lie beside this one. Exit status: 0 when everything held, 1 otherwise.")]
pub struct Args {
    /// New directory for logs, servers and role logs; kept when a check failed
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Length of the load
    #[arg(long, default_value_t = 30.0)]
    minutes: f64,
    /// Live sensors, all tailed by one loader
    #[arg(long, default_value_t = 50)]
    sensors: u16,
    /// Events per second, of all sensors together
    #[arg(long, default_value_t = 1000.0, value_name = "EVENTS_PER_SECOND")]
    rate: f64,
    /// Seconds from one stop to the next
    #[arg(long, default_value_t = 20.0, value_name = "SECONDS")]
    every: f64,
    /// Seed of the load and of what is stopped when
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Default, Serialize)]
struct Outcome {
    minutes: f64,
    events: u64,
    bytes: u64,
    stops: std::collections::BTreeMap<String, u32>,
    jobs_accepted: usize,
    jobs_refused: u32,
    jobs_of_schedules: i64,
    settle_seconds: f64,
    memory: Vec<memory::Growth>,
    log_lines: Vec<logs::Line>,
    faults: Vec<String>,
}

/// Runs the load, checks the final state, and prints the outcome.
pub async fn run(args: Args, tasks: Tasks) -> anyhow::Result<()> {
    let mut hub = Hub::start(&args.dir, args.sensors).await?;
    let outcome = soak(&args, &mut hub, &tasks).await;
    hub.stop().await;
    let outcome = outcome?;
    print(&outcome, args.json)?;
    anyhow::ensure!(
        outcome.faults.is_empty(),
        "the soak found {} faults; logs are kept in {}",
        outcome.faults.len(),
        args.dir.display()
    );
    std::fs::remove_dir_all(&args.dir).with_context(|| format!("remove {}", args.dir.display()))
}

async fn soak(args: &Args, hub: &mut Hub, tasks: &Tasks) -> anyhow::Result<Outcome> {
    let mut random = Random::new(args.seed, 77);
    let mut outcome = Outcome { minutes: args.minutes, ..Outcome::default() };
    let mut memory = Memory::default();
    let mut submitter = Submitter::start(hub.client(), &tasks.detached());
    hub.schedule().await?;
    let mut load = hub.load(args.rate, args.seed)?;
    let (started, length) = (Instant::now(), Duration::from_secs_f64(args.minutes * 60.0));
    while started.elapsed() < length && !tasks.stop().is_cancelled() {
        let pause = random.between(0.5, args.every * 0.4);
        let stopped = hub.stop_one(&mut random).await?;
        tokio::time::sleep(Duration::from_secs_f64(pause)).await;
        hub.start_again(stopped).await?;
        *outcome.stops.entry(stopped.to_string()).or_default() += 1;
        tokio::time::sleep(Duration::from_secs_f64((args.every - pause).max(0.5))).await;
        memory.sample(started.elapsed().as_secs_f64() / length.as_secs_f64(), &hub.processes());
        tracing::info!(minutes = format!("{:.1}", started.elapsed().as_secs_f64() / 60.0), stopped = %stopped, jobs = submitter.accepted().len(), "soaking");
    }
    let made = load.finish().await?;
    (outcome.events, outcome.bytes) = (made.events, made.bytes);
    submitter.finish().await;
    outcome.jobs_refused = submitter.refused();
    let accepted = submitter.accepted();
    outcome.jobs_accepted = accepted.len();
    let settling = Instant::now();
    judge(hub, &accepted, &mut outcome).await?;
    outcome.settle_seconds = settling.elapsed().as_secs_f64();
    outcome.memory = memory.growth();
    outcome.faults.extend(outcome.memory.iter().filter_map(memory::Growth::fault));
    outcome.log_lines = logs::warnings(&args.dir)?;
    outcome.faults.extend(outcome.log_lines.iter().filter_map(logs::Line::fault));
    Ok(outcome)
}

/// Waits until everything is committed and every job has ended, and adds a fault for everything that is
/// wrong.
async fn judge(hub: &Hub, accepted: &[String], outcome: &mut Outcome) -> anyhow::Result<()> {
    let deadline = Instant::now() + SETTLE;
    let size = hub.log_bytes()?;
    let mut committed = hub.committed_bytes().await?;
    while committed < size && Instant::now() < deadline {
        tokio::time::sleep(LOOK).await;
        committed = hub.committed_bytes().await?;
    }
    if committed != size {
        outcome
            .faults
            .push(format!("{committed} of {size} bytes are committed {SETTLE:?} after the load stopped"));
    }
    let mut unfinished = hub.jobs_not_completed().await?;
    while !unfinished.is_empty() && Instant::now() < deadline {
        tokio::time::sleep(LOOK).await;
        unfinished = hub.jobs_not_completed().await?;
    }
    outcome.faults.extend(unfinished.iter().take(20).map(|(id, state)| format!("job {id} is {state}")));
    let known = hub.jobs().await?;
    outcome.jobs_of_schedules = known.1;
    outcome.faults.extend(
        accepted
            .iter()
            .filter(|id| !known.0.contains(*id))
            .map(|id| format!("job {id} was accepted and is not in the database")),
    );
    if let Err(error) = hub.verify().await {
        outcome.faults.push(format!("{error:#}"));
    }
    Ok(())
}

fn print(outcome: &Outcome, json: bool) -> anyhow::Result<()> {
    if json {
        boot::say!("{}", serde_json::to_string(outcome)?);
        return Ok(());
    }
    boot::say!(
        "{} events ({} bytes) in {} minutes; settled {:.1} s after the load",
        outcome.events,
        outcome.bytes,
        outcome.minutes,
        outcome.settle_seconds
    );
    boot::say!(
        "stopped: {}",
        outcome.stops.iter().map(|(what, times)| format!("{what} {times}")).collect::<Vec<_>>().join(", ")
    );
    boot::say!(
        "jobs: {} accepted, {} refused while something was away, {} by schedules",
        outcome.jobs_accepted,
        outcome.jobs_refused,
        outcome.jobs_of_schedules
    );
    boot::say!("{:<14} {:>14} {:>14}", "MEMORY (MiB)", "2nd quarter", "last quarter");
    for growth in &outcome.memory {
        boot::say!("{:<14} {:>14.1} {:>14.1}", growth.process, growth.early_mib, growth.late_mib);
    }
    boot::say!("warnings and errors in the logs of the roles:");
    for line in &outcome.log_lines {
        boot::say!("{:>6}  {}", line.times, line.text);
    }
    for fault in &outcome.faults {
        boot::say!("FAULT: {fault}");
    }
    boot::say!("{}", if outcome.faults.is_empty() { "everything held" } else { "something did not hold" });
    Ok(())
}
