//! The result of an analysis as Markdown, for people.

use std::fmt::Write;

use chrono::{DateTime, Utc};

use super::{Analysis, AnalysisOutcome};
use crate::markdown::code;

/// Most findings in the table.
const MOST: usize = 20;

/// A result as Markdown, without passwords. Text of attackers is written as code.
pub fn markdown(
    analysis: &Analysis,
    range: Option<(DateTime<Utc>, DateTime<Utc>)>,
    outcome: &AnalysisOutcome,
    seconds: f64,
) -> String {
    let mut out = String::new();
    let time = |at: DateTime<Utc>| at.format("%Y-%m-%d %H:%M");
    // Writing to a string cannot fail.
    let _ = match range {
        Some((from, to)) => writeln!(out, "# {}: {} to {} UTC\n", analysis.kind(), time(from), time(to)),
        None => writeln!(out, "# {}\n", analysis.kind()),
    };
    let _ = writeln!(
        out,
        "{} findings in {} sessions ({}: {} of them from the cache), {seconds:.1} s, threshold {}.\n",
        outcome.findings.len(),
        outcome.sessions,
        outcome.analysis_type(),
        outcome.cached_sessions,
        analysis.threshold(),
    );
    if let Some(stored) = outcome.stored {
        let _ = writeln!(
            out,
            "{} are new, {} are updated, {} are unchanged.\n",
            stored.new, stored.updated, stored.unchanged
        );
    }
    if !outcome.findings.is_empty() {
        let _ = writeln!(
            out,
            "| severity | confidence | what | sessions | sources | finding |\n|---|---:|---|---:|---:|---|"
        );
    }
    for finding in outcome.findings.iter().take(MOST) {
        let id = finding.id().to_string();
        let _ = writeln!(
            out,
            "| {} | {:.2} | {} | {} | {} | {} |",
            finding.severity.name(),
            finding.confidence,
            code(&finding.title),
            finding.sessions.len(),
            finding.sources.len(),
            id.get(..8).unwrap_or_default(),
        );
    }
    if outcome.findings.len() > MOST {
        let _ = writeln!(out, "\nand {} more: `cowriestream findings list`.", outcome.findings.len() - MOST);
    } else if !outcome.findings.is_empty() {
        let _ = writeln!(out, "\n`cowriestream findings show ID` says why.");
    }
    out
}
