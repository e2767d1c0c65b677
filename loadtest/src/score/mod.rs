//! `loadtest score`: scores what the analyses find of the plants, beside other methods on the same data.

mod campaigns;
mod clusters;
mod incidents;
mod labelled;
pub mod metrics;
mod ours;
pub(crate) mod peer;
mod predecessor;
mod rare;
mod rate;
mod sessions;
mod sources;
pub(crate) mod table;

use std::ops::Range;

use anyhow::Context as _;

use crate::plant::{self, Scene};
use labelled::Labelled;
use peer::Peer;
use sessions::Sessions;
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
    /// Seeds of the logs: FROM..TO, without TO
    #[arg(long, default_value = "10000..10040", value_parser = seeds)]
    seeds: Range<u64>,
    /// Score only our analyses and the baseline of one rare indicator
    #[arg(long)]
    alone: bool,
    /// Generate the same logs without decoys (addresses that look alike but do not act together)
    #[arg(long)]
    without_decoys: bool,
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
    /// Ranking of sessions
    Longtail,
    /// False campaigns in logs without campaigns
    Clean,
    /// All of them
    All,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let is = |part: Part| args.part == part || args.part == Part::All;
    let peer = Peer::of_environment().filter(|_| !args.alone);
    if peer.is_none() && !args.alone {
        tracing::warn!("without scikit-learn: COWRIESTREAM_TEST_PYTHON names no Python");
    }
    let peer = peer.as_ref();
    let mut tables = Vec::new();
    if is(Part::Snowshoe) || is(Part::Botnet) {
        tables.extend(campaigns::planted(args, peer)?);
    }
    if is(Part::Clean) {
        tables.push(campaigns::clean(args)?);
    }
    if is(Part::Longtail) {
        tables.push(longtail(args, peer)?);
    }
    if args.json {
        boot::say!("{}", serde_json::to_string(&tables)?);
    } else {
        tables.iter().for_each(Table::print);
    }
    Ok(())
}

/// Generates the logs one after the other, and prints the progress.
fn logs(args: &Args, scene: Scene) -> impl Iterator<Item = anyhow::Result<Labelled>> {
    args.seeds.clone().map(move |seed| {
        let log =
            Labelled::make(scene, seed, !args.without_decoys).with_context(|| format!("make log {seed}"))?;
        tracing::info!(
            "{scene} {seed}: {} sessions, {} sources, {:.0} days, {:?}",
            log.data.sessions.len(),
            log.sources().len(),
            log.days(),
            plant::counts(&log.truth)
        );
        Ok(log)
    })
}

fn longtail(args: &Args, peer: Option<&Peer>) -> anyhow::Result<Table> {
    let mut ways = vec![("ours".to_owned(), Sessions::default())];
    if !args.alone {
        ways.push(("predecessor".to_owned(), Sessions::default()));
    }
    if peer.is_some() {
        ways.extend(peer::SCORES.map(|name| (name.to_owned(), Sessions::default())));
    }
    for log in logs(args, Scene::Longtail) {
        let log = log?;
        let mut scores = vec![ours::longtail(&log)?];
        if !args.alone {
            scores.push(predecessor::longtail(&log.data));
        }
        if let Some(peer) = peer {
            scores.extend(peer.scores(&log.data)?);
        }
        ways.iter_mut().zip(scores).for_each(|((_, sessions), scores)| sessions.add(&log, &scores));
    }
    Ok(sessions::table(&ways))
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let wrong = || format!("{text:?}: expected seeds such as 10000..10040");
    let (from, to) = text.split_once("..").ok_or_else(wrong)?;
    let range = from.parse().map_err(|_| wrong())?..to.parse().map_err(|_| wrong())?;
    if range.is_empty() { Err(wrong()) } else { Ok(range) }
}
