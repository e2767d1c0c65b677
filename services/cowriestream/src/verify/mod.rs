//! `verify`: compares files with the database by an independent recount.
//!
//! **Invariant**: the files of a sensor are read after a snapshot of the database was taken, and everything
//! is compared with that snapshot. So every stored event was in the files, and the committed ranges of a file
//! (its receipts) must be stored. For lines that are not yet committed, `verify` waits.

mod content;
mod derived;
mod extra;
mod files;
mod lines;
mod pending;
mod read;
mod report;

use std::time::Duration;

use events::SensorId;
use loader::DropSpec;
use store::{Store, verify::Span};

use crate::{
    logs::{FilesArgs, SensorFiles},
    since::Since,
    target::Target,
};
use read::Counted;
use report::Report;

/// `cowriestream verify`
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = "Examples:
  cowriestream verify --log /srv/cowrie/var/log/cowrie/cowrie.json
  cowriestream verify --log /srv/cowrie/var/log/cowrie/cowrie.json --since 24h
  cowriestream verify --log fra-1='/backup/fra-1/cowrie.json*' --json

The log may be written meanwhile. Lines that are not yet committed count as missing only if none of them is committed for some time (--wait).
Events of logs that no longer exist are counted separately, by log, and are not an error.

Exit status: 0 when the database holds exactly what is in the files, 1 when anything is missing, extra or wrong, or a file
cannot be read to its end.")]
pub struct Args {
    #[command(flatten)]
    logs: FilesArgs,
    #[command(flatten)]
    target: Target,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    /// Event ids that the loader is configured to drop; as its --drop
    #[arg(long = "drop", env = "COWRIESTREAM_DROP", value_delimiter = ',', value_name = "[SENSOR=]EVENT")]
    drops: Vec<DropSpec>,
    /// The files were loaded with --expand-arrays
    #[arg(long)]
    expand_arrays: bool,
    /// Compare only events from this time on: a duration back from now (90m, 24h, 7d) or a time
    #[arg(long, value_name = "AGE|TIME")]
    since: Option<Since>,
    /// Compare only events before this time: a duration back from now, or a time
    #[arg(long, value_name = "AGE|TIME")]
    until: Option<Since>,
    /// How long to wait without progress before uncommitted lines count as missing
    #[arg(long, default_value_t = 20, value_name = "SECONDS")]
    wait: u64,
    /// List at most N rows of each kind
    #[arg(long, default_value_t = 100, value_name = "N")]
    show: usize,
}

impl Args {
    fn span(&self) -> anyhow::Result<Span> {
        let span =
            Span { since: self.since.map(Since::before_now), until: self.until.map(Since::before_now) };
        let ordered = span.since.zip(span.until).is_none_or(|(since, until)| since < until);
        anyhow::ensure!(ordered, "--since must be before --until");
        Ok(span)
    }
}

/// Recounts and prints; returns whether everything agrees.
pub async fn run(args: Args) -> anyhow::Result<bool> {
    let span = args.span()?;
    let sensors = args.logs.resolve()?;
    let store = Store::connect(&args.target.store()?).await?;
    store.check_schema().await?;
    let mut report = Report::new(args.show);
    for files in sensors {
        verify_sensor(&store, &args, span, &files, &mut report).await?;
    }
    derived::verify_windows(&store, span, &mut report).await?;
    derived::verify_features(&store, &mut report).await?;
    report.print(args.json)?;
    Ok(report.agrees())
}

async fn verify_sensor(
    store: &Store,
    args: &Args,
    span: Span,
    files: &SensorFiles,
    report: &mut Report,
) -> anyhow::Result<()> {
    let sensor: &SensorId = &files.sensor;
    let mut snapshot = store.begin_reading().await?;
    let mut counted = Counted::new(sensor.clone(), args.drops.clone(), args.expand_arrays, span);
    counted.read(&mut snapshot, files, report).await?;
    extra::find(&mut snapshot, &counted, report).await?;
    derived::recount(&mut snapshot, &counted, report).await?;
    drop(snapshot);
    pending::settle(store, &mut counted, Duration::from_secs(args.wait), report).await
}
