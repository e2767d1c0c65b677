//! Measures each part beside its bare limit: with the same lines, servers and machine, in turns (A B A B …),
//! as medians.
//!
//! Durability is that of `up` for both sides: NATS file storage with its default fsync interval, Postgres
//! with fsync and synchronous_commit on.

pub(crate) mod cpu;
mod edge;
mod jobs;
mod latency;
mod rates;
mod report;
mod site;
mod windows;

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use boot::Tasks;
use bus::topology::TopologyArgs;
use bytes::Bytes;

use crate::generate::{Generator, Plan};
use rates::Part;
use report::{Report, median};
use site::Site;

/// `loadtest bench`
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
#[command(after_help = "Examples:
  loadtest/bench                                   builds what it needs, then measures everything
  loadtest bench --parts insert,process --rounds 5
  loadtest bench --log cowrie.json --events 100000 --json

Keep the machine quiet meanwhile: a disturbed run is reported as void.")]
pub struct Args {
    /// Take the lines of this plain log, repeated in other sessions until there are enough. Default:
    /// generated lines
    #[arg(long)]
    log: Option<PathBuf>,
    /// Seed of the generated lines
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Events in each measurement of a rate
    #[arg(long, default_value_t = 300_000)]
    events: usize,
    /// How often each rate is measured
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Sessions in the measurement of windows
    #[arg(long, default_value_t = 1_000_000)]
    sessions: usize,
    /// Empty jobs in each measurement of the job rate
    #[arg(long, default_value_t = 5_000)]
    jobs: usize,
    /// What to measure
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "publish,load,insert,process,process-without-panes,whole,latency,freshness,edge,windows,jobs"
    )]
    parts: Vec<Part>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    processor: processor::Args,
    #[command(flatten)]
    topology: TopologyArgs,
}

/// Measures and prints. Fails when the run is void.
pub async fn run(args: Args, tasks: Tasks) -> anyhow::Result<()> {
    let dir = std::env::temp_dir().join(format!("cowriestream-bench-{}", std::process::id()));
    fs::create_dir_all(&dir)?;
    // The database may run as another user.
    fs::set_permissions(&dir, PermissionsExt::from_mode(0o755))?;
    let measured = measure(&args, &tasks, &dir).await;
    fs::remove_dir_all(&dir)?;
    let report = measured?;
    report.print(args.json)?;
    anyhow::ensure!(report.void.is_empty(), "the run is void: {}", report.void.join("; "));
    Ok(())
}

async fn measure(args: &Args, tasks: &Tasks, dir: &Path) -> anyhow::Result<Report> {
    let lines = lines(args)?;
    let log = dir.join("cowrie.json");
    fs::write(
        &log,
        lines.iter().flat_map(|line| [line.as_ref(), b"\n".as_slice()]).collect::<Vec<_>>().concat(),
    )?;
    let (mut measured, mut busy, mut setting) = (Vec::new(), Vec::new(), BTreeMap::new());
    for round in 1..=args.rounds {
        for &part in args.parts.iter().filter(|part| part.is_rate()) {
            busy.extend(cpu::busy().await);
            let site = Site::start(dir, &args.topology).await?;
            setting = site.versions().await?;
            let one = rates::measure(part, &site, args, tasks, &log, &lines).await;
            site.stop().await?;
            let one = one?;
            let us = |seconds: f64| seconds * 1e6 / lines.len() as f64;
            tracing::info!(
                "round {round}, {part:?}: {:.0} events/s; CPU per event: {:.1} µs ours, {:.1} µs NATS, {:.1} µs Postgres",
                lines.len() as f64 / one.took.as_secs_f64(),
                us(one.cpu.ours),
                us(one.cpu.nats),
                us(one.cpu.postgres)
            );
            measured.push((part, one));
        }
    }
    let mut rows = report::rates(&measured, lines.len());
    for &part in args.parts.iter().filter(|part| !part.is_rate()) {
        tracing::info!("{part:?}");
        if part == Part::Jobs {
            rows.extend(jobs::measure(dir, args, tasks, &mut setting, &mut busy).await?);
            continue;
        }
        busy.extend(cpu::busy().await);
        let site = Site::start(dir, &args.topology).await?;
        setting = site.versions().await?;
        let more = match part {
            Part::Windows => windows::measure(&site, args).await,
            Part::Latency => latency::measure(&site, args, tasks, &lines).await,
            Part::Freshness => latency::freshness(&site, args, tasks, &lines).await,
            _ => edge::measure(&site, args, tasks, &log, &lines).await,
        };
        site.stop().await?;
        rows.extend(more?);
    }
    let void = report::void(&measured, lines.len(), best_publish(&measured, lines.len()), &busy);
    let bytes: usize = lines.iter().map(Bytes::len).sum();
    setting.insert(
        "load",
        format!("{} events of {} bytes on average, {} rounds", lines.len(), bytes / lines.len(), args.rounds),
    );
    setting.insert("batch", format!("{} events, {} writers", args.processor.batch, args.processor.writers));
    setting.insert("machine", cpu::description());
    Ok(Report { setting, rows, void })
}

/// The best rate that the bare publisher has reached on this machine, this run included. It is stored between
/// runs.
fn best_publish(measured: &[(Part, rates::Measured)], events: usize) -> Option<f64> {
    let path = std::env::temp_dir().join("cowriestream-bench-best-publish");
    let remembered: Option<f64> = fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok());
    let mine = median(
        measured
            .iter()
            .filter(|(part, _)| *part == Part::Publish)
            .map(|(_, one)| events as f64 / one.took.as_secs_f64())
            .collect(),
    );
    let best = remembered.into_iter().chain(mine).reduce(f64::max)?;
    if let Err(error) = fs::write(&path, best.to_string()) {
        tracing::warn!(%error, "could not store the best rate");
    }
    Some(best)
}

/// Returns the lines: generated ones of one sensor with the newest Cowrie, or those of a log.
fn lines(args: &Args) -> anyhow::Result<Vec<Bytes>> {
    let Some(log) = &args.log else {
        let plan = Plan { seed: args.seed, sensors: 1, ..Plan::default() };
        return Ok(Generator::new(plan).take(args.events).map(|made| made.line.into()).collect());
    };
    let text = fs::read_to_string(log)?;
    let originals: Vec<serde_json::Value> =
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    anyhow::ensure!(!originals.is_empty(), "{} has no events", log.display());
    (0..args.events)
        .map(|n| Ok(serde_json::to_vec(&copy(&originals[n % originals.len()], n / originals.len()))?.into()))
        .collect()
}

/// Returns the same event in another session.
fn copy(event: &serde_json::Value, again: usize) -> serde_json::Value {
    let mut event = event.clone();
    if let Some(session) = event["session"].as_str() {
        let rest: String = session.chars().skip(4).collect();
        event["session"] = format!("{again:04x}{rest}").into();
    }
    event["copy"] = again.into();
    event
}
