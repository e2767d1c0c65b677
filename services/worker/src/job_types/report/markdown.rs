//! A report as Markdown.

use std::fmt::Write;

use chrono::{DateTime, Utc};
use jobs::Report;
use store::windows::Window;

use super::TopList;
use crate::markdown::code;

pub(super) fn report(job: &Report, counts: &Window, series: &[Window], lists: &[TopList]) -> String {
    let mut out = String::new();
    let time = |at: DateTime<Utc>| at.format("%Y-%m-%d %H:%M");
    let of = job.sensor.as_ref().map_or(String::new(), |sensor| format!(" of {sensor}"));
    // Writing to a string cannot fail.
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
    for list in lists.iter().filter(|list| !list.entries.is_empty()) {
        let _ = writeln!(out, "\n## {}\n\n| | |\n|---|---:|", list.heading);
        for (key, value) in &list.entries {
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
