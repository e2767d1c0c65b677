//! `loadtest generate`: files of any size, or logs that grow in real time.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Context;
use boot::{CancellationToken, Tasks};

use crate::plant::{Planted, Wanted};

use super::{cowrie::Cowrie, generator::Made, plan::Plan, time::written, write::Log};

/// `loadtest generate`
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
#[command(after_help = "Examples:
  loadtest generate --out logs --events 1000000
  loadtest generate --out logs --sensors 20 --days 30 --rate 2 --start 2024-03-01T00:00:00Z
  loadtest generate --out logs --bytes 10G --cowrie 3.0.12 --seed 7
  loadtest generate --out logs --live --rate 500
  loadtest generate --out logs --days 7 --rate 0.2 --plant snowshoe=3,botnet=2,intruders=10")]
pub struct Args {
    /// Directory of the logs: `DIR/sensor-01/cowrie.json` and so on
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The same seed gives the same log
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Number of sensors
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u16).range(1..))]
    sensors: u16,
    /// Stop after N events
    #[arg(long)]
    events: Option<u64>,
    /// Stop after N days of the log's time
    #[arg(long)]
    days: Option<f64>,
    /// Stop after N bytes, e.g. 500M, 10G
    #[arg(long, value_name = "SIZE", value_parser = size)]
    bytes: Option<u64>,
    /// Start time of the log; with --live, now
    #[arg(long, default_value = "2024-03-01T00:00:00Z", value_parser = moment)]
    start: i64,
    /// Mean events per second of the log's time over all sensors; a fifth more by day, less by night (UTC)
    #[arg(long, default_value_t = 20.0, value_name = "EVENTS_PER_SECOND", value_parser = rate)]
    rate: f64,
    /// Version of Cowrie: 1.3, 1.6, 2.5, 2.8, 3.0.4, 3.0.12, or `mix` for all in turn
    #[arg(long, default_value = "mix", value_parser = cowrie)]
    cowrie: Mix,
    /// Write in real time with current timestamps until stopped
    #[arg(long)]
    live: bool,
    /// Plant campaigns and anomalies, and write the truth about them to `DIR/truth.json`: `all`, or numbers
    /// of snowshoe, botnet, intruders, payloads, emerging, odd, busy (days), decoys. Attackers of the
    /// background then share no key, host or file
    #[arg(long, value_name = "WHAT", requires = "days", conflicts_with_all = ["events", "bytes", "live"])]
    plant: Option<Wanted>,
    /// Print a summary as JSON
    #[arg(long)]
    json: bool,
}

/// One version, or all in turn.
#[derive(Clone, Copy, Debug)]
struct Mix(Option<Cowrie>);

/// Number of events without any limit.
const EVENTS: u64 = 100_000;
/// Time between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(5);
/// Events between two checks of the clock and of cancellation.
const LOOK: u64 = 1024;
/// Late live lines between two looks at signals.
const LATE_LINES: u64 = 64;

pub async fn run(args: Args, tasks: Tasks) -> anyhow::Result<()> {
    let start = if args.live { boot::now().timestamp_micros() } else { args.start };
    let plan = Plan {
        seed: args.seed,
        sensors: usize::from(args.sensors),
        cowrie: args.cowrie.0,
        start,
        rate: args.rate,
        weights: BTreeMap::new(),
        busy: Vec::new(),
        apart: args.plant.is_some(),
    };
    let limits = Limits::of(&args, start);
    let log = match &args.plant {
        Some(wanted) => Planted::new(plan, limits.until, wanted),
        None => Planted::nothing(plan),
    };
    let open = |sensor: &super::Sensor| {
        let directory = args.out.join(&sensor.name);
        Log::open(&directory, sensor.cowrie, args.live).with_context(|| {
            format!(
                "create {}/cowrie.json; name a new directory, or go on with a log by --live",
                directory.display()
            )
        })
    };
    let logs = log.sensors().iter().map(open).collect::<anyhow::Result<Vec<_>>>()?;
    let mut making = Making {
        limits,
        logs,
        made: Summary::default(),
        started: Instant::now(),
        reported_at: Instant::now(),
    };
    if args.plant.is_some() {
        let path = args.out.join("truth.json");
        fs::write(&path, serde_json::to_vec(log.truth())?)
            .with_context(|| format!("write {}", path.display()))?;
    }
    if args.live {
        making.play(log, tasks.stop()).await?
    } else {
        // Writing files never waits: the runtime gets another thread for the signals.
        tokio::task::block_in_place(|| making.files(log, &tasks.stop()))?
    }
    making.report(args.json)
}

#[derive(Debug)]
struct Limits {
    events: u64,
    bytes: u64,
    until: i64,
}

impl Limits {
    fn of(args: &Args, start: i64) -> Self {
        let unlimited = args.live || args.days.is_some() || args.bytes.is_some();
        let until = args.days.map_or(i64::MAX, |days| start.saturating_add((days * 86_400e6) as i64));
        Self {
            events: args.events.unwrap_or(if unlimited { u64::MAX } else { EVENTS }),
            bytes: args.bytes.unwrap_or(u64::MAX),
            until,
        }
    }
}

#[derive(Debug, Default, serde::Serialize)]
struct Summary {
    sensors: usize,
    events: u64,
    bytes: u64,
    first: Option<String>,
    last: Option<String>,
    seconds: f64,
    events_per_second: f64,
}

struct Making {
    limits: Limits,
    logs: Vec<Log>,
    made: Summary,
    started: Instant,
    reported_at: Instant,
}

impl Making {
    fn files(&mut self, log: Planted, stop: &CancellationToken) -> anyhow::Result<()> {
        let mut last = 0;
        for made in log {
            if self.ends(made.at_micros)
                || (self.made.events.is_multiple_of(LOOK) && self.report_progress(stop))
            {
                break;
            }
            last = made.at_micros;
            self.write(&made)?;
        }
        self.made.last = Some(written(last, false));
        Ok(())
    }

    /// Writes each line at its time, late ones at once.
    async fn play(&mut self, log: Planted, stop: CancellationToken) -> anyhow::Result<()> {
        for made in log {
            let early = made.at_micros - boot::now().timestamp_micros();
            if early > 0 {
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_micros(early.unsigned_abs())) => (),
                    () = stop.cancelled() => break,
                }
            } else if self.made.events.is_multiple_of(LATE_LINES) {
                // A generator that is late would never wait, and would see no signal.
                tokio::task::yield_now().await;
            }
            if self.ends(made.at_micros) || self.report_progress(&stop) {
                break;
            }
            self.write(&made)?;
            self.made.last = Some(written(made.at_micros, false));
        }
        Ok(())
    }

    fn ends(&self, at: i64) -> bool {
        self.made.events >= self.limits.events
            || self.made.bytes >= self.limits.bytes
            || at >= self.limits.until
    }

    fn write(&mut self, made: &Made) -> anyhow::Result<()> {
        self.logs[made.sensor].write(made.at_micros, &made.line).context("write the log")?;
        self.made.events += 1;
        self.made.bytes += made.line.len() as u64 + 1;
        self.made.first.get_or_insert_with(|| written(made.at_micros, false));
        Ok(())
    }

    /// Logs the progress now and then. Returns whether to stop.
    fn report_progress(&mut self, stop: &CancellationToken) -> bool {
        if self.reported_at.elapsed() >= PROGRESS {
            self.reported_at = Instant::now();
            let rate = self.made.events as f64 / self.started.elapsed().as_secs_f64();
            eprintln!("{} events, {} MB, {rate:.0} events/s", self.made.events, self.made.bytes / 1_000_000);
        }
        stop.is_cancelled()
    }

    fn report(mut self, json: bool) -> anyhow::Result<()> {
        self.logs.iter_mut().try_for_each(Log::flush).context("write the log")?;
        self.made.sensors = self.logs.len();
        self.made.seconds = self.started.elapsed().as_secs_f64();
        self.made.events_per_second = self.made.events as f64 / self.made.seconds;
        let made = &self.made;
        if json {
            boot::say!("{}", serde_json::to_string(made)?);
        } else {
            let [first, last] = [&made.first, &made.last].map(|at| at.as_deref().unwrap_or("-"));
            boot::say!(
                "{} events, {} bytes, {} sensors, {first} to {last}, {:.0} events/s",
                made.events,
                made.bytes,
                made.sensors,
                made.events_per_second
            );
        }
        Ok(())
    }
}

fn moment(text: &str) -> Result<i64, String> {
    events::time::read(text)
        .ok_or_else(|| format!("{text:?}: expected a time such as 2024-03-01T00:00:00Z, from 2015 to 2099"))
}

fn rate(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|&rate: &f64| rate > 0.0 && rate.is_finite())
        .ok_or_else(|| format!("{text:?}: expected a number above 0"))
}

fn cowrie(text: &str) -> Result<Mix, String> {
    if text == "mix" { Ok(Mix(None)) } else { text.parse().map(|version| Mix(Some(version))) }
}

fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_uppercase().trim_end_matches(['B', 'I']) {
        "" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        "T" => 1_u64 << 40,
        _ => return Err(format!("{text:?}: expected a size such as 500M or 10G")),
    };
    digits
        .parse()
        .ok()
        .and_then(|number: u64| number.checked_mul(unit))
        .ok_or_else(|| format!("{text:?}: expected a size such as 500M or 10G"))
}
