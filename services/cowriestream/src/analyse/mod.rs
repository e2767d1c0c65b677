//! `analyse`: an analysis now and here, of the database, straight from logs or of a data set that was saved,
//! without any queue.

mod file;
mod read;
mod show;

use std::{path::PathBuf, time::Instant};

use analysis::{Data, campaign, longtail};
use boot::Tasks;
use chrono::{DateTime, Utc};
use clap::ValueEnum;
use events::SensorId;
use fields::Age;
use findings::Finding;
use indicatif::{ProgressBar, ProgressStyle};
use loader::logs::LogSpec;
use serde_json::json;
use store::{Store, analyses::DataRange};
use tokio::sync::watch;
use worker::analyses::{self, Analysis, AnalysisContext, AnalysisOutcome, Keep, Progress};

pub(crate) use self::show::evidence;
use crate::{since::Since, target::Target};

/// `cowriestream analyse`
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = "Examples:
  cowriestream analyse longtail --since 7d                       what is rare, odd or new in the database of a running `up`
  cowriestream analyse snowshoe --since 30d --sensor fra-1
  cowriestream analyse botnet --log '/backup/cowrie/**/cowrie.json*'   straight from logs: no database, no queue
  cowriestream analyse botnet --since 30d --save november.arrow        what was analysed, as an Arrow file; other tools read it, too
  cowriestream analyse snowshoe --input november.arrow                 and analyses that again, on any machine
  cowriestream analyse longtail --log cowrie.json --json | jq '.findings[] | [.severity, .title]'

Nothing is stored without --store, which stores findings as a job does (`cowriestream jobs submit longtail_analysis`).")]
pub struct Args {
    /// Analysis to run
    #[arg(value_name = "ANALYSIS")]
    what: What,
    /// Beginning of the time range: a duration before --until (30m, 24h, 7d, 4w), or a time. Default: 7d for
    /// a database, the first event for logs
    #[arg(long, value_name = "AGE|TIME")]
    since: Option<Since>,
    /// End of the time range, e.g. 2026-11-24T08:00:00Z. Default: now for a database, the last event for logs
    #[arg(long, value_name = "TIME")]
    until: Option<DateTime<Utc>>,
    /// Only events of this sensor. With --log: the sensor of logs that name none; default: local
    #[arg(long, value_name = "NAME")]
    sensor: Option<SensorId>,
    /// Lowest score (longtail) or confidence (snowshoe, botnet) of a finding, 0 to 1
    #[arg(long, default_value_t = 0.7, value_parser = part, value_name = "X")]
    threshold: f64,
    /// Lowest number of sources of a campaign (snowshoe, botnet)
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(2..), value_name = "N")]
    min_sources: u32,
    /// Random seed (longtail)
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Read Cowrie logs, plain or compressed, with their rotated siblings, instead of the database: a path or
    /// a glob pattern. May be given several times
    #[arg(long = "log", num_args = 1.., value_name = "[SENSOR=]PATH|GLOB")]
    logs: Vec<LogSpec>,
    /// Read a data set that --save wrote, instead of the database
    #[arg(long, conflicts_with_all = ["logs", "since", "until", "sensor"], value_name = "FILE.arrow")]
    input: Option<PathBuf>,
    /// Write the analysed data, passwords included, to a file for --input. Results that earlier runs stored
    /// are not used then
    #[arg(long, conflicts_with = "input", value_name = "FILE.arrow")]
    save: Option<PathBuf>,
    /// Compute every day again, also days whose results earlier runs stored
    #[arg(long, conflicts_with_all = ["logs", "input", "save"])]
    full: bool,
    /// Store the findings in the database, and publish new ones in the stream FINDINGS
    #[arg(long, conflicts_with_all = ["logs", "input", "save"])]
    store: bool,
    /// Number of findings to show; --json prints all
    #[arg(long, default_value_t = 20, value_name = "N")]
    limit: usize,
    /// Print JSON: {"summary": …, "findings": […]}
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

/// The analyses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum What {
    /// Sessions that are rare, odd or new
    Longtail,
    /// Sources that act together and each do little
    Snowshoe,
    /// Sources that use the same credentials, commands or tools
    Botnet,
}

/// A number in [0, 1].
fn part(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|x| (0.0..=1.0).contains(x))
        .ok_or_else(|| "expected a number from 0 to 1".to_owned())
}

impl Args {
    fn analysis(&self) -> Analysis {
        let campaigns = |kind| {
            Analysis::Campaigns(
                kind,
                campaign::Parameters { threshold: self.threshold, min_sources: self.min_sources as usize },
            )
        };
        match self.what {
            What::Longtail => Analysis::Longtail(longtail::Parameters {
                threshold: self.threshold,
                seed: self.seed,
                ..longtail::Parameters::default()
            }),
            What::Snowshoe => campaigns(campaign::Kind::Snowshoe),
            What::Botnet => campaigns(campaign::Kind::Botnet),
        }
    }
}

/// Analyses, and prints what was found.
pub async fn run(args: Args, tasks: Tasks) -> anyhow::Result<()> {
    let since = Instant::now();
    let live = args.logs.is_empty() && args.input.is_none() && args.save.is_none();
    let result = if live { of_database(&args, &tasks).await? } else { of_data(&args, &tasks).await? };
    let seconds = (since.elapsed().as_secs_f64() * 1e3).round() / 1e3;
    if args.json {
        let findings: Vec<_> = result.findings.iter().map(Finding::full_json).collect();
        let mut summary = json!({
            "analysis": args.analysis().kind(), "sessions": result.sessions, "cached_sessions": result.cached_sessions,
            "new_sessions": result.sessions - result.cached_sessions, "duration_seconds": seconds, "findings": findings.len(), "kept": result.stored,
        });
        if let (Some(summary), Some(more)) = (summary.as_object_mut(), result.summary.as_object()) {
            for (name, value) in more {
                summary.entry(name).or_insert_with(|| value.clone());
            }
        }
        boot::say!("{}", boot::ascii(&json!({ "summary": summary, "findings": findings }).to_string()));
        return Ok(());
    }
    show::print(&args.analysis(), &result, seconds, args.limit);
    Ok(())
}

/// Connects to the database; also returns the range to analyse.
async fn database(
    args: &Args,
    tasks: &Tasks,
) -> anyhow::Result<(AnalysisContext, watch::Receiver<Progress>, DataRange)> {
    let store = Store::connect(&args.target.store()?).await?;
    store.check_schema().await?;
    let to = args.until.unwrap_or_else(boot::now);
    let from = args.since.unwrap_or(Since::Age(Age::days(7))).before(to.timestamp_micros());
    let from = DateTime::from_timestamp_micros(from).unwrap_or_default();
    anyhow::ensure!(from < to, "--since must be before --until");
    let keep = if args.store { Keep::Plain } else { Keep::Nothing };
    let (context, progress) = AnalysisContext::new(Some(store), tasks.clone(), tasks.stop(), keep);
    Ok((context, progress, DataRange { from, to, sensor: args.sensor.as_ref().map(ToString::to_string) }))
}

async fn of_database(args: &Args, tasks: &Tasks) -> anyhow::Result<AnalysisOutcome> {
    let (context, progress, range) = database(args, tasks).await?;
    let analysis = args.analysis();
    let work = analyses::of_database(&context, &analysis, &range, args.full);
    with_bar(args.json, progress, work).await
}

async fn of_data(args: &Args, tasks: &Tasks) -> anyhow::Result<AnalysisOutcome> {
    let mut data = data(args, tasks).await?;
    if let Some(path) = &args.save {
        data = file::save(path, data, tasks).await?;
    }
    let (context, progress) = AnalysisContext::new(None, tasks.clone(), tasks.stop(), Keep::Nothing);
    with_bar(args.json, progress, analyses::of_data(&context, &args.analysis(), data)).await
}

/// Reads the data set from a file, from logs, or from the database.
async fn data(args: &Args, tasks: &Tasks) -> anyhow::Result<Data> {
    if let Some(path) = &args.input {
        return file::read(path, tasks).await;
    }
    if !args.logs.is_empty() {
        return read::read(args, tasks).await;
    }
    let (context, progress, range) = database(args, tasks).await?;
    with_bar(args.json, progress, analyses::data_set(&context, &range)).await
}

/// Waits for a result, with a progress bar.
async fn with_bar<T>(
    quiet: bool,
    mut progress: watch::Receiver<Progress>,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let bar = if quiet { ProgressBar::hidden() } else { ProgressBar::new(1_000) };
    bar.set_style(ProgressStyle::with_template("{bar:30} {percent} % {msg}, eta {eta}")?);
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            biased;
            result = &mut work => {
                bar.finish_and_clear();
                return result;
            }
            Ok(()) = progress.changed() => {
                let Progress { step, done, sessions } = progress.borrow_and_update().clone();
                bar.set_position((done * 1_000.0) as u64);
                bar.set_message(format!("of {sessions} sessions: {step}"));
            }
        }
    }
}
