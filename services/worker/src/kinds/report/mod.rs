//! `report`: counts and top lists of a time range, from the sliding windows, as JSON and as Markdown.

mod markdown;

use std::time::Duration;

use chrono::Utc;
use events::Dimension;
use futures::future::BoxFuture;
use jobs::Report;
use serde_json::{Map, Value, json};
use store::Measure;

use super::JobCode;
use crate::run::{JobResult, Run};

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
    let until = job.until.unwrap_or_else(Utc::now);
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
    let top: Map<_, _> =
        lists.iter().map(|list| (list.dimension.name().to_owned(), list.entries_json())).collect();
    Ok(json!({
        "sensor": job.sensor, "counts": counts, "timeline": series, "top": top, "markdown": markdown
    }))
}

impl TopList {
    fn entries_json(&self) -> Value {
        self.entries.iter().map(|(key, value)| json!({ "key": key, "value": value })).collect()
    }
}
