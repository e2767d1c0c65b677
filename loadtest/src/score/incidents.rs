//! Compares planted campaigns with findings: which ones were detected, and which findings are true.

use std::collections::BTreeMap;

use super::{
    labelled::Labelled,
    metrics::f1,
    ours::Group,
    table::{Table, number, share},
};

/// Counts of one method over all seeds.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// By row: planted, detected with a Jaccard index of at least 0.5, of at least 0.3.
    rows: BTreeMap<String, [usize; 3]>,
    /// Findings; those with a Jaccard index of at least 0.5 to a planted campaign, of at least 0.3; those
    /// that are mostly sources of one campaign; those that are mostly decoys.
    found: [usize; 5],
}

/// The Jaccard index of two sets.
fn jaccard(a: &Group, b: &Group) -> f64 {
    let both = a.intersection(b).count();
    both as f64 / (a.len() + b.len() - both).max(1) as f64
}

impl Tally {
    /// Adds one log. Looks for campaigns of `kind`; a finding that matches a campaign of any kind is not
    /// false.
    pub fn add(&mut self, log: &Labelled, kind: &str, found: &[Group]) {
        for (campaign, sources) in
            log.truth.campaigns.iter().zip(&log.campaigns).filter(|(campaign, _)| campaign.kind == kind)
        {
            let best = found.iter().map(|group| jaccard(group, sources)).fold(0.0, f64::max);
            for row in rows(campaign, sources.len()) {
                let counts = self.rows.entry(row).or_default();
                counts[0] += 1;
                counts[1] += usize::from(best >= 0.5);
                counts[2] += usize::from(best >= 0.3);
            }
        }
        for group in found {
            let best = log.campaigns.iter().map(|sources| jaccard(group, sources)).fold(0.0, f64::max);
            let most =
                log.campaigns.iter().map(|sources| group.intersection(sources).count()).max().unwrap_or(0);
            self.found[0] += 1;
            self.found[1] += usize::from(best >= 0.5);
            self.found[2] += usize::from(best >= 0.3);
            self.found[3] += usize::from(2 * most > group.len());
            self.found[4] += usize::from(2 * group.intersection(&log.decoys).count() > group.len());
        }
    }

    /// Precision, recall and F1 at a Jaccard index of 0.5.
    pub fn figures(&self) -> (f64, f64, f64) {
        let [planted, seen, _] = self.rows.get("0 all").copied().unwrap_or_default();
        let precision = if self.found[0] > 0 { self.found[1] as f64 / self.found[0] as f64 } else { 0.0 };
        let recall = seen as f64 / planted.max(1) as f64;
        (precision, recall, f1(precision, recall))
    }
}

/// The rows in which a campaign counts; the leading number sorts them.
fn rows(campaign: &crate::plant::Campaign, size: usize) -> Vec<String> {
    let mut rows = vec!["0 all".to_owned()];
    rows.push(format!(
        "1 {}",
        ["3-9 addresses", "10-49 addresses", "50-500 addresses"]
            [usize::from(size >= 10) + usize::from(size >= 50)]
    ));
    rows.push(format!("2 {}", campaign.mechanism));
    if campaign.hybrid {
        rows.push("3 hybrid of two tools".to_owned());
    }
    rows.extend(
        campaign
            .traits
            .iter()
            .filter(|name| !name.contains("sensors") && !name.contains("clients"))
            .map(|name| format!("4 {name}")),
    );
    rows
}

/// Recall by row with a column for each method; precision below.
pub fn table(caption: &str, tallies: &[(String, Tally)]) -> Table {
    let mut table = Table::new(
        caption,
        ["campaigns", "planted"]
            .into_iter()
            .map(str::to_owned)
            .chain(tallies.iter().map(|(name, _)| name.clone())),
    );
    let names: std::collections::BTreeSet<&String> =
        tallies.iter().flat_map(|(_, tally)| tally.rows.keys()).collect();
    for name in names {
        let counts: Vec<[usize; 3]> =
            tallies.iter().map(|(_, tally)| tally.rows.get(name).copied().unwrap_or_default()).collect();
        let planted = counts.first().map_or(0, |counts| counts[0]);
        let label = name.split_once(' ').map_or(name.as_str(), |(_, label)| label);
        table.row(
            [label.to_owned(), planted.to_string()]
                .into_iter()
                .chain(counts.iter().map(|[planted, seen, _]| share(*seen, *planted))),
        );
        if name == "0 all" {
            table.row(
                [format!("{label}, at 0.3"), planted.to_string()]
                    .into_iter()
                    .chain(counts.iter().map(|[planted, _, seen]| share(*seen, *planted))),
            );
        }
    }
    let mut of_found = |label: &str, of: &dyn Fn(&Tally) -> String| {
        table.row(
            [label.to_owned(), String::new()].into_iter().chain(tallies.iter().map(|(_, tally)| of(tally))),
        );
    };
    of_found("found", &|tally| tally.found[0].to_string());
    of_found("precision", &|tally| share(tally.found[1], tally.found[0]));
    of_found("precision, at 0.3", &|tally| share(tally.found[2], tally.found[0]));
    of_found("mostly of one planted", &|tally| share(tally.found[3], tally.found[0]));
    of_found("found, mostly decoys", &|tally| tally.found[4].to_string());
    of_found("F1", &|tally| number(tally.figures().2));
    table
}
