//! Scores single sources: flagged or not, member of a planted campaign or not.

use super::{
    labelled::Labelled,
    metrics::f1,
    ours::Group,
    table::{Table, number, share},
};

/// Counts of one method over all seeds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sources {
    flagged: usize,
    right: usize,
    planted: usize,
    quiet: usize,
    right_quiet: usize,
}

impl Sources {
    pub fn add(&mut self, log: &Labelled, found: &[Group]) {
        let flagged: Group = found.iter().flatten().copied().collect();
        let of = |kind: Option<&str>| -> Group {
            log.truth
                .campaigns
                .iter()
                .zip(&log.campaigns)
                .filter(|(campaign, _)| kind.is_none_or(|kind| campaign.kind == kind))
                .flat_map(|(_, sources)| sources)
                .copied()
                .collect()
        };
        let (planted, quiet) = (of(None), of(Some("snowshoe")));
        self.flagged += flagged.len();
        self.right += flagged.intersection(&planted).count();
        self.planted += planted.len();
        self.quiet += quiet.len();
        self.right_quiet += flagged.intersection(&quiet).count();
    }
}

pub fn table(ways: &[(String, Sources)]) -> Table {
    let caption = "Single sources, all seeds together: those flagged that are of any planted campaign (precision), those of any that are flagged (recall), and those of snowshoes that are flagged.";
    let mut table = Table::new(
        caption,
        ["", "flagged", "precision", "recall", "F1", "recall of snowshoes"].map(str::to_owned),
    );
    for (name, sources) in ways {
        let part = |part: usize, whole: usize| part as f64 / whole.max(1) as f64;
        table.row([
            name.clone(),
            sources.flagged.to_string(),
            share(sources.right, sources.flagged),
            share(sources.right, sources.planted),
            number(f1(part(sources.right, sources.flagged), part(sources.right, sources.planted))),
            share(sources.right_quiet, sources.quiet),
        ]);
    }
    table
}
