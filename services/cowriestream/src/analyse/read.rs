//! Logs straight into a data set.

use std::{io::Read, path::Path};

use analysis::{Data, from_events::Gathered};
use anyhow::Context as _;
use boot::{CancellationToken, Tasks};
use events::{LineReader, Record, SensorId, line::Item, repair};
use indicatif::{ProgressBar, ProgressStyle};
use loader::logs::{by_sensor, check, discover};

use super::Args;

/// Bytes read at a time.
const CHUNK: usize = 256 << 10;

/// What was read.
#[derive(Default)]
struct Reading {
    gathered: Gathered,
    /// The newest time of an event, in microseconds since 1970.
    last: Option<i64>,
    files: u64,
    events: u64,
    /// Lines, or parts of lines, that are no events.
    unusable: u64,
}

/// The sessions of the logs that the arguments name.
pub(super) async fn read(args: &Args, tasks: &Tasks) -> anyhow::Result<Data> {
    let local: SensorId = "local".parse().context("name the sensor")?;
    let sensors = by_sensor(&args.logs, Some(args.sensor.as_ref().unwrap_or(&local)))?;
    let mut files = Vec::new();
    for (sensor, patterns) in sensors {
        check(&patterns)?;
        files.extend(discover(&patterns)?.into_iter().map(|found| (sensor.clone(), found.path)));
    }
    let bar = if args.json { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
    bar.set_style(ProgressStyle::with_template("{spinner} reading: {human_pos} events, {per_sec}")?);
    let (stop, until, since, quiet) = (tasks.stop(), args.until, args.since, args.json);
    let task = tasks.compute(move || {
        let mut reading = Reading::default();
        for (sensor, path) in &files {
            let read = reading.file(sensor, path, &bar, &stop);
            read.with_context(|| format!("read {}", path.display()))?;
        }
        bar.finish_and_clear();
        if !quiet {
            boot::complain(&format!(
                "read {} events of {} files; {} lines or parts of lines are no events",
                reading.events, reading.files, reading.unusable
            ));
        }
        let until = until
            .map_or_else(|| reading.last.map_or(i64::MAX, |last| last + 1), |until| until.timestamp_micros());
        let from = since.map_or(i64::MIN, |since| since.before(until));
        anyhow::Ok(reading.gathered.build(from..until))
    });
    task.result().await?
}

impl Reading {
    fn file(
        &mut self,
        sensor: &SensorId,
        path: &Path,
        bar: &ProgressBar,
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        let mut input = loader::Input::open_patiently(path)?;
        let (mut lines, mut chunk) = (LineReader::new(0), vec![0; CHUNK]);
        self.files += 1;
        loop {
            anyhow::ensure!(!stop.is_cancelled(), "stopped");
            let length = match input.read(&mut chunk) {
                Ok(length) => length,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            let mut rest = &chunk[..length];
            while let Some(item) = lines.next(&mut rest) {
                self.item(sensor, item);
            }
            bar.set_position(self.events);
            if length == 0 {
                break;
            }
            if chunk[..length].iter().all(|&byte| byte == 0) {
                lines.skip_nul(input.skip_hole()?);
            }
        }
        if let Some(damage) = input.damage() {
            eprintln!(
                "warning: {} is damaged or cut off, what came before counts: {}",
                boot::safe(&path.display().to_string()),
                boot::safe(damage)
            );
        }
        if let Some(item) = lines.finish() {
            self.item(sensor, item);
        }
        Ok(())
    }

    fn item(&mut self, sensor: &SensorId, item: Item) {
        match item {
            Item::Skipped { .. } => (),
            Item::TooLong { .. } => self.unusable += 1,
            Item::Line { bytes, .. } => self.line(sensor, &bytes),
        }
    }

    fn line(&mut self, sensor: &SensorId, line: &[u8]) {
        if let Ok(record) = Record::read(sensor, repair::without_returns(line)) {
            return self.event(record);
        }
        let parts = repair::glued(line);
        self.unusable +=
            parts.iter().filter(|part| !part.event).count().max(usize::from(parts.is_empty())) as u64;
        for part in parts.iter().filter(|part| part.event) {
            if let Ok(record) = Record::read(sensor, &line[part.text.clone()]) {
                self.event(record);
            }
        }
    }

    fn event(&mut self, record: Record) {
        self.events += 1;
        self.last = self.last.max(record.ts);
        self.gathered.push(record);
    }
}
