//! Findings for people. Whatever attackers wrote is made safe for a terminal.

use boot::safe_up_to;
use chrono::{DateTime, Utc};
use findings::Finding;
use serde_json::Value;
use worker::analyses::{Analysis, AnalysisOutcome};

/// Characters of a line.
const WIDE: usize = 160;
/// Entries of a list.
const MOST: usize = 4;

/// Prints a outcome.
pub(super) fn print(analysis: &Analysis, outcome: &AnalysisOutcome, seconds: f64, limit: usize) {
    for finding in outcome.findings.iter().take(limit) {
        show(finding);
    }
    let left = outcome.findings.len().saturating_sub(limit);
    if left > 0 {
        boot::say!(
            "and {left} more findings: --limit {} shows them, --json has them",
            outcome.findings.len()
        );
    }
    let cached = if outcome.cached_sessions > 0 {
        format!(", {} of them from the cache", outcome.cached_sessions)
    } else {
        String::new()
    };
    boot::say!(
        "{}: {} findings in {} sessions{cached}, {seconds:.1} s",
        analysis.kind(),
        outcome.findings.len(),
        outcome.sessions
    );
    if let Some(stored) = outcome.stored {
        boot::say!("stored: {} new, {} updated, {} unchanged", stored.new, stored.updated, stored.unchanged);
    }
}

fn show(finding: &Finding) {
    boot::say!(
        "{:<8} {:.2}  {}  {}",
        finding.severity.name(),
        finding.confidence,
        finding.rule.name(),
        safe_up_to(&finding.title, WIDE)
    );
    let time = |at: DateTime<Utc>| at.format("%Y-%m-%d %H:%M:%S");
    boot::say!("    when      {} to {} UTC", time(finding.first_seen()), time(finding.last_seen()));
    for line in evidence(&finding.evidence) {
        boot::say!("    {line}");
    }
    let sessions = finding.sessions.iter().map(|(sensor, session)| format!("{sensor}/{session}"));
    boot::say!("    sessions  {}", some(sessions, finding.sessions.len()));
    boot::say!("    sources   {}\n", some(finding.sources.iter().cloned(), finding.sources.len()));
}

/// The first few, and how many there are.
fn some(all: impl Iterator<Item = String>, count: usize) -> String {
    let first = safe_up_to(&all.take(MOST).collect::<Vec<_>>().join(", "), WIDE);
    if count > MOST { format!("{first}, … ({count})") } else { first }
}

/// A line for each field of the evidence.
pub(crate) fn evidence(evidence: &Value) -> Vec<String> {
    let Value::Object(fields) = evidence else { return Vec::new() };
    fields
        .iter()
        .filter_map(|(name, value)| {
            Some(format!(
                "{:<8}  {}",
                safe_up_to(&name.replace('_', " "), 40),
                safe_up_to(&short(value)?, WIDE)
            ))
        })
        .collect()
}

/// A value in words; `None` when there is nothing to say.
fn short(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) if text.is_empty() => None,
        Value::String(text) => Some(text.clone()),
        Value::Array(values) if values.is_empty() => None,
        Value::Array(values) => {
            let more = if values.len() > MOST { format!("; … ({})", values.len()) } else { String::new() };
            Some(values.iter().take(MOST).filter_map(short).collect::<Vec<_>>().join("; ") + &more)
        }
        Value::Object(fields) if fields.is_empty() => None,
        Value::Object(fields) => Some(
            fields
                .iter()
                .filter_map(|(name, value)| Some(format!("{} {}", name.replace('_', " "), short(value)?)))
                .collect::<Vec<_>>()
                .join(", "),
        ),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn evidence_is_read_line_by_line_and_cannot_steer_the_terminal() {
        let shown = evidence(
            &json!({ "rarity": 0.5, "top_features": [{ "name": "commands", "times": 9 }], "none": null, "typed": "a\u{1b}[31m\nb" }),
        );
        assert_eq!(
            shown,
            ["none", "rarity", "top features", "typed"]
                .iter()
                .zip([None, Some("0.5"), Some("name commands, times 9"), Some("a\\u{1b}[31m\\u{a}b")])
                .filter_map(|(name, value)| Some(format!("{name:<8}  {}", value?)))
                .collect::<Vec<_>>()
        );
    }
}
