//! `load`: loads logs through the same path as the loader, with a progress bar.

use std::{sync::Arc, time::Duration};

use boot::Tasks;
use bus::Bus;
use events::SensorId;
use indicatif::{ProgressBar, ProgressStyle};
use loader::{Loader, Statistics, Tuning, logs::LogSpec};

use crate::target::Target;

/// `cowriestream load`
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = "Examples:
  cowriestream load /backup/cowrie/cowrie.json
  cowriestream load fra-1='/backup/fra-1/**/cowrie.json*'
  cowriestream load --expand-arrays export.json.gz

Everything goes through the stream to the processor that runs (`cowriestream up`, or `cowriestream processor`).
Loading the same file, a copy of it or a part of it again changes nothing.")]
pub struct Args {
    /// Log with its rotated siblings; or a glob pattern
    #[arg(value_name = "[SENSOR=]PATH|GLOB", required = true)]
    logs: Vec<LogSpec>,
    /// Sensor id of the logs that name none
    #[arg(long, env = "COWRIESTREAM_SENSOR", default_value = "local", value_name = "NAME")]
    sensor: SensorId,
    /// Publish the elements of a line that is a JSON array (an export of a log) as events
    #[arg(long)]
    expand_arrays: bool,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    tuning: Tuning,
    /// Print the summary as JSON, and no progress bar
    #[arg(long)]
    json: bool,
}

/// Loads the logs and prints the summary.
pub async fn run(args: Args, tasks: Tasks) -> anyhow::Result<()> {
    let bus = Bus::connect(&args.target.bus()?, "load").await?;
    let loader_args = loader::Args {
        logs: args.logs,
        sensor: Some(args.sensor),
        state_dir: args.target.data_dir().join("load"),
        once: true,
        expand_arrays: args.expand_arrays,
        tuning: args.tuning,
    };
    let loader = Loader::start(&loader_args, &bus, &tasks).await?;
    let statistics = loader.statistics.clone();
    let drawing = tasks.start(draw(statistics.clone(), args.json));
    let finished = loader.finish().await;
    drawing.abort();
    anyhow::ensure!(finished?, "stopped before everything was committed; run it again to continue");
    let summary = Loader::summary(&statistics);
    if args.json {
        boot::say!("{}", serde_json::to_string(&summary)?);
    } else {
        boot::say!(
            "{} events and {} dead letters of {} files are committed ({} bytes, {} skipped, {} dropped)",
            summary.events,
            summary.dead_letters,
            summary.files,
            summary.bytes,
            summary.skipped_bytes,
            summary.dropped_bytes
        );
    }
    Loader::check_files(&statistics)
}

/// Draws rate and remaining time, by bytes of the files. The size of an archive is known only after it was
/// read.
async fn draw(statistics: Vec<(SensorId, Arc<Statistics>)>, quiet: bool) {
    let bar = if quiet { ProgressBar::hidden() } else { ProgressBar::new(0) };
    let style = ProgressStyle::with_template("{spinner} {bar:30} {bytes}/{total_bytes} {msg} eta {eta}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let mut rate = (std::time::Instant::now(), 0);
    loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let now = Loader::summary(&statistics);
        bar.set_length(now.total_bytes);
        bar.set_position(now.total_bytes.saturating_sub(now.lag_bytes));
        let seconds = rate.0.elapsed().as_secs_f64();
        if seconds >= 1.0 {
            bar.set_message(format!(
                "{:.0} events/s, {} events, {} dead letters",
                (now.events - rate.1) as f64 / seconds,
                now.events,
                now.dead_letters
            ));
            rate = (std::time::Instant::now(), now.events);
        }
    }
}
