//! Loader and processor beside their bare limits: the same lines, servers and machine, in turns (A B A B …), medians.
//!
//! Durability as `up` sets it: NATS file storage with its default fsync interval, Postgres with fsync and synchronous_commit on.

mod cpu;
mod rates;
mod site;

use std::path::PathBuf;

use boot::Tasks;
use bus::topology::TopologyArgs;
use bytes::Bytes;

use rates::{Measured, Part};
use site::Site;

/// `loadtest bench`
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Args {
    /// The lines: a plain log; it is repeated with changed times until there are enough
    #[arg(long)]
    log: PathBuf,
    /// Events in each measurement
    #[arg(long, default_value_t = 200_000)]
    events: usize,
    /// How often each is measured
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// What to measure
    #[arg(long, value_delimiter = ',', default_value = "publish,load,insert,process,whole")]
    parts: Vec<Part>,
    #[command(flatten)]
    processor: processor::Args,
    #[command(flatten)]
    topology: TopologyArgs,
}

/// Measures and prints.
pub async fn run(args: Args, tasks: Tasks) -> anyhow::Result<()> {
    let lines = lines(&args)?;
    let bytes: usize = lines.iter().map(Bytes::len).sum();
    boot::say!("{} events, {} bytes a line on average", lines.len(), bytes / lines.len());
    let dir = std::env::temp_dir().join(format!("cowriestream-loadtest-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    std::fs::set_permissions(&dir, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let log = dir.join("cowrie.json");
    std::fs::write(&log, lines.iter().flat_map(|line| [line.as_ref(), b"\n".as_slice()]).collect::<Vec<_>>().concat())?;
    for _ in 0..args.rounds {
        for &part in &args.parts {
            let site = Site::start(&dir, &args.topology).await?;
            let Measured { took, cpu } = rates::measure(part, &site, &args, &tasks, &log, &lines).await?;
            site.stop().await?;
            let n = lines.len() as f64;
            let us = |seconds: f64| seconds * 1e6 / n;
            boot::say!(
                "{part:?}: {:.0} events/s; microseconds of CPU per event: {:.1} ours, {:.1} NATS, {:.1} Postgres",
                n / took.as_secs_f64(),
                us(cpu.ours),
                us(cpu.nats),
                us(cpu.postgres)
            );
        }
    }
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}

/// Distinct lines of realistic shape: those of the log, repeated with another session and time.
fn lines(args: &Args) -> anyhow::Result<Vec<Bytes>> {
    let text = std::fs::read_to_string(&args.log)?;
    let originals: Vec<serde_json::Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    anyhow::ensure!(!originals.is_empty(), "{} has no events", args.log.display());
    let copy = |n: usize| -> anyhow::Result<Bytes> {
        let mut event = originals[n % originals.len()].clone();
        let again = n / originals.len();
        if let Some(session) = event["session"].as_str() {
            event["session"] = format!("{again:04x}{}", &session[session.len().min(4)..]).into();
        }
        event["copy"] = again.into();
        Ok(serde_json::to_vec(&event)?.into())
    };
    (0..args.events).map(copy).collect()
}
