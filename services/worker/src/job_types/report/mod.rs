//! `report`: counts and top lists of a time range, from the sliding windows, as JSON and as Markdown.

mod markdown;

use std::time::Duration;

use events::Dimension;
use futures::future::BoxFuture;
use jobs::{Report, ReportPoint, ReportResult, TopEntry, WindowCounts};
use store::windows::{Measure, Window};

use super::JobCode;
use crate::{
    error::AttemptError,
    run::{JobResult, Run},
};

/// The top lists: dimension, measure and heading.
const TOPS: [(Dimension, Measure, &str); 8] = [
    (Dimension::SrcIp, Measure::Events, "Source addresses, by events"),
    (Dimension::SrcNet, Measure::DistinctSrcIps, "Source networks, by addresses"),
    (Dimension::Username, Measure::LoginsFailed, "User names, by failed logins"),
    (Dimension::Password, Measure::LoginsFailed, "Passwords, by failed logins"),
    (Dimension::Command, Measure::Commands, "Commands (normalised), by times typed"),
    (Dimension::Download, Measure::Downloads, "Downloads (SHA-256), by times"),
    (Dimension::Hassh, Measure::Events, "SSH clients (hassh), by connections"),
    (Dimension::Forward, Measure::Events, "Forward targets, by requests"),
];
/// Number of points of the timeline.
const POINTS: u32 = 24;

/// A top list.
struct TopList {
    dimension: Dimension,
    heading: &'static str,
    /// Keys with their values, the highest first.
    entries: Vec<(String, i64)>,
}

impl JobCode for Report {
    fn execute<'a>(&'a self, run: &'a Run) -> BoxFuture<'a, JobResult> {
        Box::pin(execute(run, self))
    }
}

/// Has no checkpoint: an attempt takes seconds and writes nothing before its end.
async fn execute(run: &Run, job: &Report) -> JobResult {
    let reader = run.reader();
    let until = job.until.unwrap_or_else(boot::now);
    let length = Duration::from_secs(job.window_seconds.unsigned_abs());
    let (dimension, key) = match &job.sensor {
        Some(sensor) => (Dimension::Sensor, sensor.as_str()),
        None => (Dimension::All, ""),
    };
    // A window has no keys of another dimension within it, so a report about one sensor has no lists.
    let tops: &[_] = if job.sensor.is_some() { &[] } else { &TOPS };
    let total = tops.len() as i64 + 2;
    run.progress("counts", 0, total).await?;
    let counts = reader.window(dimension, key, length, until).await?;
    run.progress("timeline", 1, total).await?;
    let step = Duration::from_secs((length.as_secs() / u64::from(POINTS)).div_ceil(60).max(1) * 60);
    let series = reader.window_series(dimension, key, length, step, until).await?;
    let mut lists = Vec::new();
    for (n, (dimension, measure, heading)) in tops.iter().enumerate() {
        run.progress(heading, n as i64 + 2, total).await?;
        let limit = job.top.unsigned_abs() as u32;
        let entries = reader.window_top(*dimension, *measure, length, until, limit).await?;
        lists.push(TopList { dimension: *dimension, heading, entries });
    }
    run.progress("done", total, total).await?;
    let markdown = markdown::report(job, &counts, &series, &lists);
    let result = ReportResult {
        from: counts.from_at,
        to: counts.to_at,
        sensor: job.sensor.clone(),
        timeline: series
            .iter()
            .map(|window| ReportPoint { from: window.from_at, to: window.to_at, counts: counts_of(window) })
            .collect(),
        counts: counts_of(&counts),
        top: lists.into_iter().map(TopList::into_entries).collect(),
        markdown,
    };
    serde_json::to_value(result).map_err(|error| AttemptError::GiveUp(error.into()))
}

fn counts_of(window: &Window) -> WindowCounts {
    WindowCounts {
        grain: window.grain.clone(),
        events: window.events,
        sessions: window.sessions,
        logins_failed: window.logins_failed,
        logins_succeeded: window.logins_succeeded,
        commands: window.commands,
        downloads: window.downloads,
        bytes: window.bytes,
        first_seen: window.first_seen,
        last_seen: window.last_seen,
        distinct_src_ips: window.distinct_src_ips,
        distinct_sensors: window.distinct_sensors,
        distinct_sessions: window.distinct_sessions,
        distinct_credentials: window.distinct_credentials,
    }
}

impl TopList {
    fn into_entries(self) -> (String, Vec<TopEntry>) {
        let entries = self.entries.into_iter().map(|(key, value)| TopEntry { key, value }).collect();
        (self.dimension.name().to_owned(), entries)
    }
}
