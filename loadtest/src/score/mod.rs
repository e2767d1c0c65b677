//! `loadtest score`: what the analyses find of what was planted, beside other ways on the same data.

mod clusters;
mod incidents;
pub mod labelled;
pub mod metrics;
mod ours;
mod predecessor;
mod rate;
mod sessions;
mod sources;
mod table;

use std::ops::Range;

use analysis::campaign::Kind;
use anyhow::Context as _;

use crate::plant::Scene;
use clusters::{Clusters, joined};
use incidents::Tally;
use labelled::Labelled;
use sessions::Sessions;
use sources::Sources;
use table::Table;

/// `loadtest score`
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
#[command(after_help = "Examples:
  loadtest score --part snowshoe --seeds 1..20
  loadtest score --seeds 10000..10040 --json

Seeds below 10000 are for tuning the analyses; those from 10000 on are for scoring only: nobody looks at what is missed there and changes an analysis for it.")]
pub struct Args {
    /// What to score
    #[arg(long, value_enum, default_value_t = Part::All)]
    part: Part,
    /// Which logs: FROM..TO without TO
    #[arg(long, default_value = "10000..10040", value_parser = seeds)]
    seeds: Range<u64>,
    /// Ours alone
    #[arg(long)]
    alone: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Snowshoes: precision and recall
    Snowshoe,
    /// Botnets: precision and recall; sources by campaign
    Botnet,
    /// Sessions by score
    Longtail,
    /// False campaigns where none is planted
    Clean,
    /// All of them
    All,
}

/// Scores and prints.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let is = |part: Part| args.part == part || args.part == Part::All;
    let mut tables = Vec::new();
    if is(Part::Snowshoe) || is(Part::Botnet) {
        tables.extend(campaigns(args)?);
    }
    if is(Part::Clean) {
        tables.push(clean(args)?);
    }
    if is(Part::Longtail) {
        tables.push(longtail(args)?);
    }
    if args.json {
        boot::say!("{}", serde_json::to_string(&tables)?);
    } else {
        tables.iter().for_each(Table::print);
    }
    Ok(())
}

/// One after the other, saying how far it is.
fn logs(args: &Args, scene: Scene) -> impl Iterator<Item = anyhow::Result<Labelled>> {
    args.seeds.clone().map(move |seed| {
        let log = Labelled::make(scene, seed).with_context(|| format!("make log {seed}"))?;
        tracing::info!("{scene} {seed}: {} sessions, {} sources, {:.0} days, {:?}", log.data.sessions.len(), log.sources().len(), log.days(), crate::plant::counts(&log.truth));
        Ok(log)
    })
}

fn campaigns(args: &Args) -> anyhow::Result<Vec<Table>> {
    let mut snowshoes = vec![("ours".to_owned(), Tally::default())];
    let mut botnets = snowshoes.clone();
    let mut clusters: Vec<(String, Clusters)> = ["ours", "ours, snowshoe", "ours, botnet"].map(|name| (name.to_owned(), Clusters::default())).into();
    let mut sources: Vec<(String, Sources)> = ["ours, snowshoe", "ours, botnet"].map(|name| (name.to_owned(), Sources::default())).into();
    if !args.alone {
        snowshoes.push(("predecessor".to_owned(), Tally::default()));
        botnets.push(("predecessor".to_owned(), Tally::default()));
        clusters.push(("predecessor, botnet".to_owned(), Clusters::default()));
        sources.extend(["predecessor, snowshoe", "predecessor, botnet", "10 in 10 minutes"].map(|name| (name.to_owned(), Sources::default())));
    }
    for log in logs(args, Scene::Campaigns) {
        let log = log?;
        let [snowshoe, botnet] = [Kind::Snowshoe, Kind::Botnet].map(|kind| ours::campaigns(kind, &log));
        let (snowshoe, botnet) = (snowshoe?, botnet?);
        snowshoes[0].1.add(&log, "snowshoe", &snowshoe);
        botnets[0].1.add(&log, "botnet", &botnet);
        sources[0].1.add(&log, &snowshoe);
        sources[1].1.add(&log, &botnet);
        clusters[1].1.add(&log, &snowshoe);
        clusters[2].1.add(&log, &botnet);
        clusters[0].1.add(&log, &joined(botnet, snowshoe));
        if !args.alone {
            let windows = predecessor::windows(&log);
            let likely = |verdict: predecessor::Verdict| if verdict.likely { verdict.groups } else { Vec::new() };
            let snowshoe: Vec<_> = windows.iter().flat_map(|(_, sessions)| likely(predecessor::snowshoe(sessions))).collect();
            let botnet: Vec<_> = windows.iter().flat_map(|(_, sessions)| likely(predecessor::botnet(&log.data, sessions))).collect();
            snowshoes[1].1.add(&log, "snowshoe", &snowshoe);
            botnets[1].1.add(&log, "botnet", &botnet);
            clusters[3].1.add(&log, &botnet);
            sources[2].1.add(&log, &snowshoe);
            sources[3].1.add(&log, &botnet);
            sources[4].1.add(&log, &[rate::over(&log.data)]);
        }
    }
    let caption = |what: &str| {
        format!(
            "{what}: the share of planted campaigns that something found is like (Jaccard index of the sets of addresses at least 0.5, or 0.3). \
             Precision: the share of what was found that is like a planted campaign of any kind."
        )
    };
    Ok(vec![
        incidents::table(&caption("Snowshoes"), &snowshoes),
        incidents::table(&caption("Botnets"), &botnets),
        clusters::table(&clusters),
        sources::table(&sources),
    ])
}

fn clean(args: &Args) -> anyhow::Result<Table> {
    let mut ways = vec![("ours, snowshoe".to_owned(), 0), ("ours, botnet".to_owned(), 0)];
    if !args.alone {
        ways.extend(["predecessor, snowshoe", "predecessor, botnet"].map(|name| (name.to_owned(), 0)));
    }
    let mut days = 0.0;
    for log in logs(args, Scene::Clean) {
        let log = log?;
        days += log.days();
        ways[0].1 += ours::campaigns(Kind::Snowshoe, &log)?.len();
        ways[1].1 += ours::campaigns(Kind::Botnet, &log)?.len();
        if !args.alone {
            let windows = predecessor::windows(&log);
            ways[2].1 += windows.iter().filter(|(_, sessions)| predecessor::snowshoe(sessions).likely).count();
            ways[3].1 += windows.iter().filter(|(_, sessions)| predecessor::botnet(&log.data, sessions).likely).count();
        }
    }
    let caption = format!("False campaigns in {days:.0} days without any, several of each log busy. The predecessor's: days that it calls one.");
    let mut table = Table::new(&caption, ["", "false", "a week"].map(str::to_owned));
    ways.into_iter().for_each(|(name, n)| table.row([name, n.to_string(), table::number(n as f64 * 7.0 / days)]));
    Ok(table)
}

fn longtail(args: &Args) -> anyhow::Result<Table> {
    let mut ways = vec![("ours".to_owned(), Sessions::default())];
    if !args.alone {
        ways.push(("predecessor".to_owned(), Sessions::default()));
    }
    for log in logs(args, Scene::Longtail) {
        let log = log?;
        ways[0].1.add(&log, &ours::longtail(&log)?);
        if !args.alone {
            ways[1].1.add(&log, &predecessor::longtail(&log.data));
        }
    }
    Ok(sessions::table(&ways))
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let wrong = || format!("{text:?}: expected seeds such as 10000..10040");
    let (from, to) = text.split_once("..").ok_or_else(wrong)?;
    let range = from.parse().map_err(|_| wrong())?..to.parse().map_err(|_| wrong())?;
    if range.is_empty() { Err(wrong()) } else { Ok(range) }
}
