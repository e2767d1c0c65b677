//! Scores campaigns: planted snowshoes and botnets together, and clean days.

use analysis::campaign::Kind;

use crate::plant::Scene;

use super::{
    Args,
    clusters::{self, Clusters, joined},
    incidents::{self, Tally},
    logs, ours,
    ours::Group,
    peer::{self, Peer},
    predecessor, rare, rate,
    sources::{self, Sources},
    table::{self, Table},
};

type Ways<T> = Vec<(String, T)>;

fn of<'a, T: Default>(ways: &'a mut Ways<T>, name: &str) -> &'a mut T {
    let place = ways.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
        ways.push((name.to_owned(), T::default()));
        ways.len() - 1
    });
    &mut ways[place].1
}

/// Returns the groups of every day on which the predecessor reports a campaign.
fn likely(verdict: predecessor::Verdict) -> Vec<Group> {
    if verdict.likely { verdict.groups } else { Vec::new() }
}

/// Scores snowshoes and botnets: precision and recall, and sources by campaign.
pub fn planted(args: &Args, peer: Option<&Peer>) -> anyhow::Result<Vec<Table>> {
    let (mut snowshoes, mut botnets) = (Ways::<Tally>::new(), Ways::<Tally>::new());
    let (mut partitions, mut flagged) = (Ways::<Clusters>::new(), Ways::<Sources>::new());
    for log in logs(args, Scene::Campaigns) {
        let log = log?;
        let [snowshoe, botnet] = [Kind::Snowshoe, Kind::Botnet].map(|kind| ours::campaigns(kind, &log));
        let (snowshoe, botnet) = (snowshoe?, botnet?);
        of(&mut snowshoes, "ours").add(&log, "snowshoe", &snowshoe);
        of(&mut botnets, "ours").add(&log, "botnet", &botnet);
        for (name, groups) in [
            ("ours, both", &joined(botnet.clone(), snowshoe.clone())),
            ("ours, snowshoe", &snowshoe),
            ("ours, botnet", &botnet),
        ] {
            of(&mut partitions, name).add(&log, groups);
            of(&mut flagged, name).add(&log, groups);
        }
        let rare = rare::groups(&log.data);
        of(&mut snowshoes, "one rare indicator").add(&log, "snowshoe", &rare);
        of(&mut botnets, "one rare indicator").add(&log, "botnet", &rare);
        of(&mut partitions, "one rare indicator").add(&log, &rare);
        of(&mut flagged, "one rare indicator").add(&log, &rare);
        if args.alone {
            continue;
        }
        let windows = predecessor::windows(&log);
        let snowshoe: Vec<Group> =
            windows.iter().flat_map(|(_, sessions)| likely(predecessor::snowshoe(sessions))).collect();
        let botnet: Vec<Group> = windows
            .iter()
            .flat_map(|(_, sessions)| likely(predecessor::botnet(&log.data, sessions)))
            .collect();
        of(&mut snowshoes, "predecessor").add(&log, "snowshoe", &snowshoe);
        of(&mut botnets, "predecessor").add(&log, "botnet", &botnet);
        of(&mut flagged, "predecessor, snowshoe").add(&log, &snowshoe);
        let mut others =
            vec![("predecessor, botnet", botnet), ("10 in 10 minutes", vec![rate::over(&log.data)])];
        if let Some(peer) = peer {
            others.extend(peer::LABELS.into_iter().zip(peer.groups(&log)?));
        }
        for (name, groups) in others {
            if peer::LABELS.contains(&name) {
                of(&mut snowshoes, name).add(&log, "snowshoe", &groups);
                of(&mut botnets, name).add(&log, "botnet", &groups);
            }
            of(&mut flagged, name).add(&log, &groups);
            of(&mut partitions, name).add(&log, &groups);
        }
    }
    let caption = |what: &str| {
        format!(
            "{what}: the share of planted campaigns that something found is like (Jaccard index of the sets of addresses at least 0.5, or 0.3). \
             Precision: the share of what was found that is like a planted campaign of any kind. The predecessor's are what it says of each day."
        )
    };
    Ok(vec![
        incidents::table(&caption("Snowshoes"), &snowshoes),
        incidents::table(&caption("Botnets"), &botnets),
        clusters::table(&partitions),
        sources::table(&flagged),
    ])
}

/// Counts findings in logs without campaigns.
pub fn clean(args: &Args) -> anyhow::Result<Table> {
    let mut ways = Ways::<usize>::new();
    let mut days = 0.0;
    for log in logs(args, Scene::Clean) {
        let log = log?;
        days += log.days();
        *of(&mut ways, "ours, snowshoe") += ours::campaigns(Kind::Snowshoe, &log)?.len();
        *of(&mut ways, "ours, botnet") += ours::campaigns(Kind::Botnet, &log)?.len();
        *of(&mut ways, "one rare indicator") += rare::groups(&log.data).len();
        if !args.alone {
            let windows = predecessor::windows(&log);
            *of(&mut ways, "predecessor, snowshoe") +=
                windows.iter().filter(|(_, sessions)| predecessor::snowshoe(sessions).likely).count();
            *of(&mut ways, "predecessor, botnet") += windows
                .iter()
                .filter(|(_, sessions)| predecessor::botnet(&log.data, sessions).likely)
                .count();
        }
    }
    let caption = format!(
        "False campaigns in {days:.0} days without any, several of each log busy. The predecessor's: days that it calls one."
    );
    let mut table = Table::new(&caption, ["", "false", "a week"].map(str::to_owned));
    ways.into_iter()
        .for_each(|(name, n)| table.row([name, n.to_string(), table::number(n as f64 * 7.0 / days)]));
    Ok(table)
}
