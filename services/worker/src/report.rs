//! `report`: counts and tops of a time range, from the sliding windows, as JSON and as Markdown.

use std::{fmt::Write, time::Duration};

use chrono::{DateTime, Utc};
use events::Dimension;
use jobs::{Report, ReportPoint, ReportResult, TopEntry, WindowCounts};
use serde_json::Value;
use store::{Measure, Window};

use crate::attempt::{Ended, Run};

/// The top lists: dimension, measure, heading.
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
/// Name, heading, and keys with their values.
type List = (&'static str, &'static str, Vec<(String, i64)>);
/// Points of the timeline.
const POINTS: u32 = 24;

/// Each list is a step. A report that is tried again starts from the beginning: it writes nothing before its
/// end.
pub(crate) async fn run(run: &Run, job: Report) -> Result<Value, Ended> {
    let until = job.until.unwrap_or_else(Utc::now);
    let length = Duration::from_secs(job.window_seconds.unsigned_abs());
    let (dimension, key) = match &job.sensor {
        Some(sensor) => (Dimension::Sensor, sensor.as_str()),
        None => (Dimension::All, ""),
    };
    // The lists are of all sensors: a window of one sensor has no keys within it.
    let tops: &[_] = if job.sensor.is_some() { &[] } else { &TOPS };
    let total = tops.len() as i64 + 2;
    // A connection is taken for each question and not held while progress, which needs one too, is written.
    run.progress("counts", 0, total).await?;
    let counts =
        store::window_features(&mut *run.store.connection().await?, dimension, key, length, until).await?;
    run.progress("timeline", 1, total).await?;
    let step = Duration::from_secs((length.as_secs() / u64::from(POINTS)).div_ceil(60).max(1) * 60);
    let series =
        store::window_series(&mut *run.store.connection().await?, dimension, key, length, step, until)
            .await?;
    let mut lists: Vec<List> = Vec::new();
    for (n, (dimension, measure, heading)) in tops.iter().enumerate() {
        run.progress(heading, n as i64 + 2, total).await?;
        let mut connection = run.store.connection().await?;
        let top = store::window_top(
            &mut connection,
            *dimension,
            *measure,
            length,
            until,
            job.top.unsigned_abs() as u32,
        )
        .await?;
        drop(connection);
        lists.push((dimension.name(), *heading, top));
    }
    run.progress("done", total, total).await?;
    let markdown = markdown(&job, &counts, &series, &lists);
    let entries = |top: Vec<(String, i64)>| top.into_iter().map(|(key, value)| TopEntry { key, value });
    let result = ReportResult {
        from: counts.from_at,
        to: counts.to_at,
        sensor: job.sensor,
        timeline: series
            .iter()
            .map(|window| ReportPoint { from: window.from_at, to: window.to_at, counts: counts_of(window) })
            .collect(),
        counts: counts_of(&counts),
        top: lists.into_iter().map(|(name, _, top)| (name.to_owned(), entries(top).collect())).collect(),
        markdown,
    };
    serde_json::to_value(result).map_err(|error| Ended::GiveUp(error.into()))
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

fn markdown(job: &Report, counts: &Window, series: &[Window], lists: &[List]) -> String {
    let mut out = String::new();
    let time = |at: DateTime<Utc>| at.format("%Y-%m-%d %H:%M");
    let of = job.sensor.as_ref().map_or(String::new(), |sensor| format!(" of {sensor}"));
    // Writing to a string does not fail.
    let _ = writeln!(out, "# Cowrie report{of}: {} to {} UTC\n", time(counts.from_at), time(counts.to_at));
    let _ = writeln!(out, "| what | how many |\n|---|---:|");
    for (what, count) in [
        ("events", counts.events),
        ("sessions", counts.sessions),
        ("source addresses", counts.distinct_src_ips),
        ("failed logins", counts.logins_failed),
        ("successful logins", counts.logins_succeeded),
        ("distinct credentials", counts.distinct_credentials),
        ("commands", counts.commands),
        ("downloads", counts.downloads),
    ] {
        let _ = writeln!(out, "| {what} | {count} |");
    }
    for (_, heading, top) in lists.iter().filter(|(_, _, top)| !top.is_empty()) {
        let _ = writeln!(out, "\n## {heading}\n\n| | |\n|---|---:|");
        for (key, value) in top {
            let _ = writeln!(out, "| {} | {value} |", code(key));
        }
    }
    let _ = writeln!(
        out,
        "\n## Timeline\n\n| until (UTC) | events | sessions | failed logins |\n|---|---:|---:|---:|"
    );
    for window in series {
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} |",
            time(window.to_at),
            window.events,
            window.sessions,
            window.logins_failed
        );
    }
    out
}

/// What an attacker wrote, as code in a cell: nothing of it is a link, markup, HTML, or the end of the cell.
pub(crate) fn code(text: &str) -> String {
    if text.is_empty() {
        return "(empty)".to_owned();
    }
    let safe = boot::safe_up_to(text, 200).replace('`', "\u{2b9}").replace('|', "\\|");
    format!("`{safe}`")
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_an_attacker_wrote_stays_in_its_cell() {
        assert_eq!(
            super::code("a|`<img src=x>\n[x](http://e)"),
            "`a\\|\u{2b9}<img src=x>\\u{a}[x](http://e)`"
        );
    }
}
