//! Compares statistics of real and generated logs, with a tolerance for each.

use std::fmt;

use super::statistics::Statistics;

/// One statistic of both logs.
#[derive(Clone, Debug)]
pub struct Row {
    pub name: String,
    /// Value in the real logs.
    pub real: f64,
    /// Value in the generated logs.
    pub made: f64,
    pub tolerance: f64,
}

impl Row {
    /// Whether the values are near enough.
    pub fn holds(&self) -> bool {
        (self.made - self.real).abs() <= self.tolerance
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.holds() { "" } else { "  <-- too far" };
        write!(
            f,
            "{:<52} {:>10.4} {:>10.4}  ±{:<9.4}{verdict}",
            self.name, self.real, self.made, self.tolerance
        )
    }
}

/// Compares every statistic that either has.
pub fn compare(real: &Statistics, made: &Statistics) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut add = |name: String, pair: (f64, f64), (part, least): (f64, f64)| {
        rows.push(Row { name, real: pair.0, made: pair.1, tolerance: pair.0 * part + least })
    };
    let both = |a: Option<&f64>, b: Option<&f64>| (a.copied().unwrap_or(0.0), b.copied().unwrap_or(0.0));
    let mut names: Vec<_> = real.event_shares.keys().chain(made.event_shares.keys()).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        add(
            format!("events: {name}"),
            both(real.event_shares.get(name), made.event_shares.get(name)),
            (0.25, 0.0015),
        );
    }
    for (profile, share) in &real.profile_shares {
        add(
            format!("sessions: {profile:?}"),
            both(Some(share), made.profile_shares.get(profile)),
            (0.2, 0.008),
        );
    }
    for (name, number) in &real.numbers {
        add(name.clone(), both(Some(number), made.numbers.get(name)), tolerance(name));
    }
    rows
}

/// Returns the tolerance as a share of the real value, and its minimum. It is wide where the samples are a
/// few laboratory captures.
fn tolerance(name: &str) -> (f64, f64) {
    match name {
        // Captures with nights between them, one log each: bursts must exist, but their exact size does not
        // matter.
        _ if name.starts_with("gap between") => (0.6, 0.1),
        // Generated logs end with open sessions; the samples were mostly cut by day.
        "sessions without an end" => (0.0, 0.03),
        _ if name.starts_with("line length, 90") => (0.75, 0.0),
        // One heavy attacker more or less is one client more or less.
        "SSH sessions by client version, top 1" | "SSH sessions by hassh, top 1" => (0.4, 0.0),
        // At this quantile the values climb from seconds to minutes.
        "session seconds, 90th of 100" => (0.6, 0.0),
        _ if name.starts_with("session seconds") => (0.4, 0.3),
        _ if name.starts_with("sessions by address") => (0.25, 0.02),
        _ if name.starts_with("events in a session") => (0.15, 1.0),
        _ => (0.2, 0.01),
    }
}
