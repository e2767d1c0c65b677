//! The log of a seed as a data set, with the truth about its sources and sessions.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    ops::Range,
};

use analysis::{Data, from_events::Gathered};
use anyhow::Context as _;
use events::{Record, SensorId};

use crate::plant::{Recipe, Scene, Truth};

pub struct Labelled {
    pub truth: Truth,
    pub data: Data,
    /// Range of the session starts.
    pub range: Range<i64>,
    /// Addresses of each campaign of [`Truth::campaigns`].
    pub campaigns: Vec<BTreeSet<IpAddr>>,
    /// Addresses that look alike but do not act together, of all groups of [`Truth::decoys`].
    pub decoys: BTreeSet<IpAddr>,
}

impl Labelled {
    /// Makes the log and reads it.
    pub fn make(scene: Scene, seed: u64, decoys: bool) -> anyhow::Result<Self> {
        let recipe = Recipe::of(scene, seed);
        let recipe = if decoys { recipe } else { recipe.without_decoys() };
        let log = recipe.log();
        let sensors: Vec<SensorId> = log
            .sensors()
            .iter()
            .map(|sensor| sensor.name.parse())
            .collect::<Result<_, _>>()
            .map_err(|_| anyhow::anyhow!("name a sensor"))?;
        let truth = log.truth().clone();
        let range = truth.start..truth.end;
        let mut gathered = Gathered::default();
        // Sessions that are open at the end are read completely.
        let until = truth.end + 3_600_000_000;
        for made in log.take_while(|made| made.at_micros < until) {
            gathered.push(Record::read(&sensors[made.sensor], &made.line).context("read a made line")?);
        }
        let campaigns = truth.campaigns.iter().map(|campaign| addresses(&campaign.addresses)).collect();
        let decoys = truth.decoys.iter().flat_map(|decoys| addresses(&decoys.addresses)).collect();
        Ok(Self { truth, data: gathered.build(range.clone()), range, campaigns, decoys })
    }

    pub fn days(&self) -> f64 {
        (self.range.end - self.range.start) as f64 / 86_400e6
    }

    /// The class of each planted anomaly, by index in the data set.
    pub fn anomalies(&self) -> BTreeMap<usize, &str> {
        let known: HashMap<(&str, &str), &str> = self
            .truth
            .anomalies
            .iter()
            .map(|anomaly| ((anomaly.sensor.as_str(), anomaly.session.as_str()), anomaly.class.as_str()))
            .collect();
        let class = |(place, session): (usize, &analysis::data::Session)| {
            Some((place, *known.get(&(self.data.text(session.sensor), self.data.text(session.session)))?))
        };
        self.data.sessions.iter().enumerate().filter_map(class).collect()
    }

    pub fn sources(&self) -> BTreeSet<IpAddr> {
        self.data.sessions.iter().filter_map(|session| session.source).collect()
    }
}

/// Parses addresses; unreadable ones are left out.
pub fn addresses(texts: &[String]) -> BTreeSet<IpAddr> {
    texts
        .iter()
        .filter_map(|text| text.parse::<IpAddr>().ok())
        .map(|address| address.to_canonical())
        .collect()
}
