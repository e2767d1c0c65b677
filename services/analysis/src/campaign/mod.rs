//! Campaigns: sources that act together. Snowshoe and botnet search in the same way; snowshoe reports only
//! campaigns whose sources are each quiet.
//!
//! A source is an address with its behaviour, written as tokens of families of evidence ([`source`]). A naive
//! Bayes mixture compares a group of sources with all other sources ([`model`]). Groups that share something
//! grow into campaigns ([`grow`]), which are reported with their evidence ([`report`]).

mod familiar;
mod grow;
mod identity;
mod model;
mod quiet;
mod report;
mod seeds;
mod source;
mod split;
mod summary;

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    ops::Range,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Data, Finding, Stopped, Watch, data::Text};

use self::{
    grow::{Campaign, Search},
    identity::Identity,
    model::Background,
    quiet::Overview,
    report::Reporter,
    source::{Source, Sources},
};

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Parameters {
    /// Campaigns with at least this confidence become findings, in [0, 1].
    pub threshold: f64,
    /// Smallest number of sources of a campaign.
    pub min_sources: usize,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { threshold: 0.7, min_sources: 3 }
    }
}

/// A campaign that an earlier run found, used to keep its id.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Known {
    /// [`Finding::key`].
    pub id: String,
    /// [`Finding::sources`].
    pub sources: Vec<String>,
    /// `indicators` of the evidence: what its members share and hardly any other source has.
    pub indicators: Vec<String>,
}

/// What is known about the time before the range.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Earlier {
    pub campaigns: Vec<Known>,
    pub sources: u64,
    /// How many of them tried a user name with a password; a missing entry counts as 0.
    pub credentials: HashMap<(String, String), u64>,
}

/// With fewer earlier sources than this, shares mean nothing.
const ENOUGH_EARLIER: u64 = 100;

impl Earlier {
    /// The share of the sources that tried a credential.
    fn share(&self, user: &str, password: &str) -> f64 {
        if self.sources < ENOUGH_EARLIER || self.credentials.is_empty() {
            return 0.0;
        }
        let count = self.credentials.get(&(user.to_owned(), password.to_owned())).copied().unwrap_or(0);
        (count as f64 / self.sources as f64).min(1.0)
    }
}

/// Credentials that at least two sources tried, for [`Earlier::credentials`]: at most `most`, those with the
/// most sources first.
pub fn shared_credentials(data: &Data, most: usize) -> Vec<(String, String)> {
    let mut triers = HashMap::<(Text, Text), HashSet<IpAddr>>::new();
    for session in &data.sessions {
        for login in data.logins(session) {
            if let Some((source, password)) = session.source.zip(login.password) {
                triers.entry((login.username, password)).or_default().insert(source);
            }
        }
    }
    let mut shared: Vec<_> = triers
        .into_iter()
        .map(|(pair, sources)| (sources.len(), pair))
        .filter(|(sources, _)| *sources >= 2)
        .collect();
    let texts = |(user, password): (Text, Text)| (data.text(user), data.text(password));
    shared.sort_by(|one, other| other.0.cmp(&one.0).then_with(|| texts(one.1).cmp(&texts(other.1))));
    shared
        .into_iter()
        .take(most)
        .map(|(_, pair)| texts(pair))
        .map(|(user, password)| (user.to_owned(), password.to_owned()))
        .collect()
}

#[derive(Clone, PartialEq, Debug)]
pub struct Outcome {
    /// A finding for each campaign, most confident first.
    pub findings: Vec<Finding>,
    /// Counts, and the fields that the predecessor's summary had: a JSON object.
    pub summary: Value,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Distributed, and each source is quiet.
    Snowshoe,
    /// Run by one operator, quiet or not.
    Botnet,
}

impl From<Kind> for findings::Kind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Snowshoe => Self::Snowshoe,
            Kind::Botnet => Self::Botnet,
        }
    }
}

/// Looks for campaigns in the sessions that began in `range`, in microseconds since 1970.
pub fn detect(
    kind: Kind,
    data: &Data,
    range: Range<i64>,
    earlier: &Earlier,
    parameters: &Parameters,
    watch: &mut Watch<'_>,
) -> Result<Outcome, Stopped> {
    watch.phase("sources", 0.2)?;
    let sources = Sources::of(data, &range, earlier, watch)?;
    watch.phase("campaigns", 0.95)?;
    let campaigns = Search::of(&sources, parameters.min_sources).run(watch)?;
    watch.phase("findings", 1.0)?;
    let background = Background::of(&sources);
    let reporter = Reporter { data, sources: &sources, background: &background, kind };
    let mut drafts = Vec::new();
    for campaign in &campaigns {
        let members: Vec<&Source> =
            campaign.members.iter().map(|&member| &sources.all[member as usize]).collect();
        let overview = Overview::of(data, &range, &members);
        let wanted = kind == Kind::Botnet || overview.is_quiet();
        if let Some(one) = reporter
            .draft(campaign, &overview)
            .filter(|one| wanted && one.finding.confidence >= parameters.threshold)
        {
            drafts.push((campaign, one));
        }
    }
    let identities: Vec<Identity<'_>> = drafts
        .iter()
        .map(|(_, one)| Identity {
            sources: &one.finding.sources,
            indicators: &one.indicators,
            first: &one.first,
        })
        .collect();
    let ids = identity::identify(&identities, &earlier.campaigns);
    let (reported, mut findings): (Vec<&Campaign>, Vec<Finding>) =
        drafts.into_iter().map(|(campaign, one)| (campaign, one.finding)).unzip();
    findings.iter_mut().zip(ids).for_each(|(finding, id)| finding.key = id);
    let summary = summary::summary(kind, data, &sources, &reported, &findings);
    findings.sort_by(|one, other| {
        other.confidence.total_cmp(&one.confidence).then_with(|| one.key.cmp(&other.key))
    });
    watch.at(1.0)?;
    Ok(Outcome { findings, summary })
}
