//! Compares the planted partition of sources with the one found.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
};

use super::{
    labelled::Labelled,
    metrics::{adjusted_rand, mean, v_measure},
    ours::Group,
    table::{Table, number, perhaps},
};

/// Scores of one log and one method.
#[derive(Clone, Copy, Debug)]
struct Figures {
    /// Over the planted sources; each one not found is a group of its own.
    planted: (f64, f64),
    /// Over the planted sources that were found.
    labelled: Option<(f64, f64)>,
    /// Over all sources; each one of the background and each one not found is a group of its own.
    all: (f64, f64),
    /// Over all sources; the background is one group, and the sources not found are one.
    nobody: (f64, f64),
    /// Share of planted sources that were found in a group.
    covered: f64,
    /// Share of background sources that were found in a group.
    caught: f64,
}

/// Scores of one method over all seeds.
#[derive(Clone, Debug, Default)]
pub struct Clusters(Vec<Figures>);

impl Clusters {
    /// Adds one log. A source belongs to the first group that contains it.
    pub fn add(&mut self, log: &Labelled, found: &[Group]) {
        let truth = labels(&log.campaigns);
        let found = labels(found);
        let all: BTreeSet<IpAddr> = log.sources();
        let planted: Vec<IpAddr> = all.iter().copied().filter(|source| truth.contains_key(source)).collect();
        let both: Vec<IpAddr> = planted.iter().copied().filter(|source| found.contains_key(source)).collect();
        let all: Vec<IpAddr> = all.into_iter().collect();
        let caught =
            all.iter().filter(|source| !truth.contains_key(source) && found.contains_key(source)).count();
        let background = all.len() - planted.len();
        let measure = |sources: &[IpAddr], alone: bool| {
            let of = |labels: &HashMap<IpAddr, usize>| -> Vec<usize> {
                let other = |place: usize| if alone { usize::MAX - place } else { usize::MAX };
                sources
                    .iter()
                    .enumerate()
                    .map(|(place, source)| labels.get(source).copied().unwrap_or_else(|| other(place)))
                    .collect()
            };
            let (truth, found) = (of(&truth), of(&found));
            (adjusted_rand(&truth, &found), v_measure(&truth, &found))
        };
        self.0.push(Figures {
            planted: measure(&planted, true),
            labelled: (!both.is_empty()).then(|| measure(&both, true)),
            all: measure(&all, true),
            nobody: measure(&all, false),
            covered: both.len() as f64 / planted.len().max(1) as f64,
            caught: caught as f64 / background.max(1) as f64,
        });
    }
}

fn labels(groups: &[Group]) -> HashMap<IpAddr, usize> {
    let mut labels = HashMap::new();
    for (number, group) in groups.iter().enumerate() {
        group.iter().for_each(|&source| _ = labels.entry(source).or_insert(number));
    }
    labels
}

/// Merges groups that are mostly equal: two analyses may find the same campaign.
pub fn joined(first: Vec<Group>, second: Vec<Group>) -> Vec<Group> {
    let mut joined = first;
    for group in second {
        let same = joined
            .iter_mut()
            .find(|known| 2 * known.intersection(&group).count() >= known.len().min(group.len()));
        match same {
            Some(known) => known.extend(group),
            None => joined.push(group),
        }
    }
    joined
}

pub fn table(ways: &[(String, Clusters)]) -> Table {
    let caption = "Sources by campaign, snowshoes and botnets planted together; means over seeds. \
        ARI and V: over all sources of the log, each source of the background and each that was not found a group of its own. \
        Planted: the same over planted sources only. Labelled: over planted sources that were found in any group. \
        Nobody: over all sources, where the background is one group and what was not found is one group. \
        Least: the worst seed's ARI over all. Covered, caught: the share of planted and of background sources that are in any group found.";
    let head = [
        "",
        "ARI",
        "V",
        "least",
        "ARI planted",
        "V planted",
        "ARI labelled",
        "V labelled",
        "ARI nobody",
        "V nobody",
        "covered",
        "caught",
    ];
    let mut table = Table::new(caption, head.into_iter().map(str::to_owned));
    for (name, Clusters(figures)) in ways {
        let of = |value: &dyn Fn(&Figures) -> f64| perhaps(mean(figures.iter().map(value)));
        let least = figures.iter().map(|figures| figures.all.0).fold(f64::INFINITY, f64::min);
        let labelled = |value: &dyn Fn((f64, f64)) -> f64| {
            perhaps(mean(figures.iter().filter_map(|figures| figures.labelled).map(value)))
        };
        table.row([
            name.clone(),
            of(&|figures| figures.all.0),
            of(&|figures| figures.all.1),
            number(least),
            of(&|figures| figures.planted.0),
            of(&|figures| figures.planted.1),
            labelled(&|both| both.0),
            labelled(&|both| both.1),
            of(&|figures| figures.nobody.0),
            of(&|figures| figures.nobody.1),
            of(&|figures| figures.covered),
            of(&|figures| figures.caught),
        ]);
    }
    table
}
