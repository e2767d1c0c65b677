//! Scores the ranking of sessions against the planted anomalies.

use std::collections::BTreeMap;

use super::{
    labelled::Labelled,
    metrics::{auroc, average_precision, mean, precision_at},
    table::{Table, perhaps},
};

/// Scores of one method over all seeds.
#[derive(Clone, Debug, Default)]
pub struct Sessions {
    /// By class, `all` first: average precision, AUROC, precision at 20, at 100, at the number planted.
    figures: BTreeMap<String, Vec<[Option<f64>; 5]>>,
}

impl Sessions {
    /// Adds one log with the score of each session. Each class is compared with the background only.
    pub fn add(&mut self, log: &Labelled, scores: &[f64]) {
        let anomalies = log.anomalies();
        let classes: std::collections::BTreeSet<&str> = anomalies.values().copied().collect();
        let mut judge = |name: &str, counts: &dyn Fn(&str) -> bool| {
            let scored: Vec<(f64, bool)> = scores
                .iter()
                .enumerate()
                .filter(|(place, _)| anomalies.get(place).is_none_or(|class| counts(class)))
                .map(|(place, &score)| (score, anomalies.contains_key(&place)))
                .collect();
            let planted = scored.iter().filter(|(_, is)| *is).count();
            let at = |k: usize| Some(precision_at(&scored, k));
            self.figures.entry(name.to_owned()).or_default().push([
                average_precision(&scored),
                auroc(&scored),
                at(20),
                at(100),
                at(planted),
            ]);
        };
        judge("all", &|_| true);
        classes.into_iter().for_each(|name| judge(name, &|class| class == name));
    }
}

pub fn table(ways: &[(String, Sessions)]) -> Table {
    let classes: std::collections::BTreeSet<&String> =
        ways.iter().flat_map(|(_, sessions)| sessions.figures.keys()).filter(|name| *name != "all").collect();
    let caption = "Sessions by score, means over seeds: average precision (AP), AUROC, precision at 20, 100 and as many as are planted, over all sessions; then AP and AUROC of each class against the background alone.";
    let head = ["", "AP", "AUROC", "P@20", "P@100", "P@planted"].into_iter().map(str::to_owned);
    let mut table = Table::new(
        caption,
        head.chain(classes.iter().flat_map(|class| [format!("AP {class}"), format!("AUROC {class}")])),
    );
    for (name, sessions) in ways {
        let of = |class: &str, i: usize| {
            perhaps(
                sessions
                    .figures
                    .get(class)
                    .and_then(|figures| mean(figures.iter().filter_map(|figures| figures[i]))),
            )
        };
        let all = (0..5).map(|i| of("all", i));
        let by_class = classes.iter().flat_map(|class| [of(class, 0), of(class, 1)]);
        table.row([name.clone()].into_iter().chain(all).chain(by_class));
    }
    table
}
