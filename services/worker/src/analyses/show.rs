//! An answer as Markdown, for people.

use std::fmt::Write;

use chrono::{DateTime, Utc};

use super::{Answer, Question, job::analysis_type};
use crate::report::code;

/// Most findings in the table.
const MOST: usize = 20;

/// An answer as Markdown, without passwords. Attackers' text is written as code.
pub fn markdown(
    question: &Question,
    range: Option<(DateTime<Utc>, DateTime<Utc>)>,
    answer: &Answer,
    seconds: f64,
) -> String {
    let mut out = String::new();
    let time = |at: DateTime<Utc>| at.format("%Y-%m-%d %H:%M");
    // Writing to a string does not fail.
    let _ = match range {
        Some((from, to)) => writeln!(out, "# {}: {} to {} UTC\n", question.kind(), time(from), time(to)),
        None => writeln!(out, "# {}\n", question.kind()),
    };
    let _ = writeln!(
        out,
        "{} findings in {} sessions ({}: {} of them read before), {seconds:.1} s, threshold {}.\n",
        answer.findings.len(),
        answer.sessions,
        analysis_type(answer),
        answer.cached_sessions,
        question.threshold(),
    );
    if let Some(kept) = answer.kept {
        let _ = writeln!(
            out,
            "{} are new, {} say something else than before, {} are as they were.\n",
            kept.new, kept.updated, kept.unchanged
        );
    }
    if !answer.findings.is_empty() {
        let _ = writeln!(
            out,
            "| severity | sure | what | sessions | sources | finding |\n|---|---:|---|---:|---:|---|"
        );
    }
    for finding in answer.findings.iter().take(MOST) {
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
    if answer.findings.len() > MOST {
        let _ = writeln!(out, "\nand {} more: `cowriestream findings list`.", answer.findings.len() - MOST);
    } else if !answer.findings.is_empty() {
        let _ = writeln!(out, "\n`cowriestream findings show ID` says why.");
    }
    out
}
