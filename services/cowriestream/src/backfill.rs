//! `backfill`: computes windows and features of events that were stored before these were defined, while the
//! stream runs.

use boot::CancellationToken;
use indicatif::{ProgressBar, ProgressStyle};
use store::Store;

use crate::target::Target;

/// `cowriestream backfill`
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = "Examples:
  cowriestream backfill              do at once what the processors do bit by bit
  cowriestream backfill --again      check every session again

Processors keep running and may do the same work; nothing is counted twice. If it is stopped, it continues where it was.")]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// Check every session again, also those that were checked before
    #[arg(long)]
    again: bool,
    /// Print the summary as JSON, and no progress bar
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Default, serde::Serialize)]
struct Summary {
    /// Days of events added to the windows.
    days: u64,
    /// Number of sessions checked.
    sessions: u64,
    ended: u64,
    /// Ended sessions that have features of this version.
    with_features: u64,
}

/// Adds everything that is missing, and prints a summary.
pub async fn run(args: Args, stop: CancellationToken) -> anyhow::Result<()> {
    let store = Store::connect(&args.target.store()?).await?;
    store.check_schema().await?;
    let mut summary = Summary::default();
    add_days(&store, args.json, &stop, &mut summary).await?;
    add_features(&store, &args, &stop, &mut summary).await?;
    let mut connection = store.connection().await?;
    store::unhurried(&mut connection).await?;
    (summary.ended, summary.with_features) = store::features::progress(&mut connection).await?;
    connection.detach();
    if args.json {
        boot::say!("{}", serde_json::to_string(&summary)?);
    } else {
        boot::say!(
            "added {} days to the windows, checked {} sessions; {} of {} ended sessions have their features",
            summary.days,
            summary.sessions,
            summary.with_features,
            summary.ended
        );
    }
    anyhow::ensure!(!stop.is_cancelled(), "stopped before everything was done; run it again to continue");
    Ok(())
}

async fn add_days(
    store: &Store,
    quiet: bool,
    stop: &CancellationToken,
    summary: &mut Summary,
) -> anyhow::Result<()> {
    let left = store::windows::recount::backfill_left(&mut *store.connection().await?).await?;
    let bar = bar(quiet, left as u64, "days of windows");
    while !stop.is_cancelled() {
        let mut transaction = store.begin_long().await?;
        let day = store::windows::recount::backfill_day(&mut transaction).await?;
        transaction.commit().await?;
        if day.is_none() {
            break;
        }
        summary.days += 1;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(())
}

async fn add_features(
    store: &Store,
    args: &Args,
    stop: &CancellationToken,
    summary: &mut Summary,
) -> anyhow::Result<()> {
    let mut connection = store.connection().await?;
    if args.again {
        store::features::restart_backfill(&mut connection).await?;
    }
    let bar = bar(args.json, store::features::sessions_left(&mut connection).await?, "sessions");
    drop(connection);
    while !stop.is_cancelled() {
        let mut transaction = store.begin_long().await?;
        let step = store::features::backfill(&mut transaction, args.again).await?;
        transaction.commit().await?;
        summary.sessions += step.sessions;
        bar.inc(step.sessions);
        if step.finished {
            break;
        }
    }
    bar.finish_and_clear();
    Ok(())
}

fn bar(quiet: bool, length: u64, of: &'static str) -> ProgressBar {
    let bar = if quiet || length == 0 { ProgressBar::hidden() } else { ProgressBar::new(length) };
    let style = ProgressStyle::with_template(
        "{spinner} {bar:30} {human_pos}/{human_len} {msg}, {per_sec}, eta {eta}",
    );
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_message(of);
    bar
}
