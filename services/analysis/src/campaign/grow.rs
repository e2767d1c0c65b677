//! Grows seeds into campaigns. Groups that share something are tried, the best ones grow, and their members
//! leave the background.

use super::{
    model::{Background, Evidence, Group, price},
    source::{FAMILIES, Family, Sources},
};
use crate::{Stopped, Watch};

/// Limit of the rounds in which a group grows or shrinks.
pub(super) const ROUNDS: usize = 8;
/// Nats beyond the price that a source must bring to become a member.
const JOIN: f64 = 1.0;
/// Least margin of a campaign: the mean nats of its members beyond the price.
pub(super) const MARGIN: f64 = 3.0;
/// Least gain of a campaign: the sum of its members' nats beyond the price.
const GAIN: f64 = 15.0;
/// When the credentials bring this much, hardly any other source tries them.
const FEW_KNOW: f64 = 8.0;
/// An artefact or a forward target that brings this much belongs to the group alone.
const OWN: f64 = 6.0;
/// With no time against it, an artefact that brings this much is enough.
const OWN_IN_TIME: f64 = 3.0;
/// A family supports a campaign when it brings this many nats on average.
const SPEAKS: f64 = 1.0;
/// Least margin of a seed that is grown.
const SEED: f64 = 2.0;

/// Sources that act together.
#[derive(Clone, Debug)]
pub(super) struct Campaign {
    /// Indices into [`Sources::all`], sorted.
    pub members: Vec<u32>,
    /// Mean evidence of the members.
    pub evidence: Evidence,
    /// Mean nats of the members beyond the price.
    pub margin: f64,
}

impl Campaign {
    fn of(&self, family: Family) -> f64 {
        self.evidence[family as usize]
    }

    /// Whether the sources share a file, a host, a key or a forward target that hardly anybody else has.
    fn is_tied(&self) -> bool {
        self.of(Family::Artefact) >= OWN || self.of(Family::Target) >= OWN
    }

    /// Whether something ties the sources to one operator. Malware of one family shares a client, commands,
    /// default credentials and the shape of its sessions with every operator; hours of the day are shared by
    /// chance, too. So we require a common tool at a common time, or a common list, network, or artefact that
    /// nobody else has.
    fn is_linked(&self) -> bool {
        let tool = self.of(Family::Client) >= 1.0
            || self.of(Family::Sequence) >= 1.5
            || self.of(Family::Command) >= 2.0;
        let list = self.of(Family::Order) >= 1.5 && self.of(Family::Credential) >= 2.0;
        let artefact =
            self.is_tied() || (self.of(Family::Artefact) >= OWN_IN_TIME && self.of(Family::Time) >= 0.0);
        let few = self.of(Family::Credential) >= FEW_KNOW && self.of(Family::Time) >= 1.0;
        list || artefact || few || self.of(Family::Net) >= 1.5 || (tool && self.of(Family::Time) >= 1.0)
    }

    pub fn gain(&self) -> f64 {
        self.margin * self.members.len() as f64
    }

    fn holds(&self) -> bool {
        self.margin >= MARGIN && self.gain() >= GAIN && enough_speak(&self.evidence) && self.is_linked()
    }
}

/// Whether at least two families support a member or a group.
fn enough_speak(evidence: &Evidence) -> bool {
    evidence.iter().filter(|&&nats| nats >= SPEAKS).count() >= 2
}

pub(super) struct Search<'a> {
    pub sources: &'a Sources,
    pub background: Background,
    pub group: Group,
    taken: Vec<bool>,
    /// Groups that were judged not to be campaigns.
    refused: Vec<Vec<u32>>,
    pub min_sources: usize,
}

impl<'a> Search<'a> {
    pub fn of(sources: &'a Sources, min_sources: usize) -> Self {
        Self {
            background: Background::of(sources),
            group: Group::of_tokens(sources.families.len()),
            taken: vec![false; sources.all.len()],
            refused: Vec::new(),
            min_sources: min_sources.max(2),
            sources,
        }
    }

    /// Returns all campaigns, largest gain first.
    pub fn run(mut self, watch: &mut Watch<'_>) -> Result<Vec<Campaign>, Stopped> {
        let seeds = self.seeds();
        let mut ranked = Vec::with_capacity(seeds.len());
        for (n, seed) in seeds.iter().enumerate() {
            if n % 64 == 0 {
                watch.at(0.4 * n as f64 / seeds.len() as f64)?;
            }
            let judged = self.judge(seed);
            if judged.margin >= SEED {
                ranked.push((judged.is_tied(), judged.gain(), n));
            }
        }
        // Seeds with an artefact or target of their own grow first. Otherwise strangers who try the same
        // credentials would take their members.
        ranked.sort_by(|one, other| {
            other.0.cmp(&one.0).then(other.1.total_cmp(&one.1)).then(one.2.cmp(&other.2))
        });
        let mut campaigns = Vec::new();
        for (n, &(_, _, seed)) in ranked.iter().enumerate() {
            watch.at(0.4 + 0.5 * n as f64 / ranked.len() as f64)?;
            let left: Vec<u32> =
                seeds[seed].iter().copied().filter(|&member| !self.taken[member as usize]).collect();
            if left.len() < self.min_sources.min(3) {
                continue;
            }
            let judged = self.judge(&left);
            // A rejected group does not exclude a seed in it that has an artefact or target of its own.
            if judged.margin < SEED || (!judged.is_tied() && self.refused(&left)) {
                continue;
            }
            let grown = self.grow(left.clone());
            let before = campaigns.len();
            for part in self.split(grown.members, watch)? {
                self.keep(part, &mut campaigns);
            }
            // If growing spoilt the group, try the seed itself.
            if campaigns.len() == before {
                self.keep(left, &mut campaigns);
            }
        }
        watch.at(0.9)?;
        let mut merged = self.merge(campaigns, watch)?;
        merged.sort_by(|one, other| {
            other.gain().total_cmp(&one.gain()).then_with(|| one.members.cmp(&other.members))
        });
        watch.at(1.0)?;
        Ok(merged)
    }

    /// Keeps a group that is a campaign and remembers one that is not, because seeds within it would grow
    /// into the same group.
    fn keep(&mut self, group: Vec<u32>, campaigns: &mut Vec<Campaign>) {
        let campaign = self.judge(&group);
        if campaign.holds() && group.len() >= self.min_sources {
            self.take(&campaign);
            campaigns.push(campaign);
        } else {
            self.refused.push(group);
        }
    }

    /// Whether a seed is part of a rejected group.
    fn refused(&self, seed: &[u32]) -> bool {
        self.refused.iter().any(|group| seed.iter().all(|member| group.binary_search(member).is_ok()))
    }

    fn take(&mut self, campaign: &Campaign) {
        for &member in &campaign.members {
            self.taken[member as usize] = true;
            self.background.remove(&self.sources.all[member as usize]);
        }
    }

    /// Evaluates a group as a campaign, whether it qualifies or not.
    pub fn judge(&mut self, members: &[u32]) -> Campaign {
        self.weigh(members, 1.0)
    }

    pub fn weigh(&mut self, members: &[u32], scale: f64) -> Campaign {
        self.group.fill(self.sources, members);
        let mut evidence = [0.0; FAMILIES];
        for &member in members {
            let of_member =
                self.group.evidence(&self.background, &self.sources.all[member as usize], true, scale);
            evidence.iter_mut().zip(of_member).for_each(|(sum, nats)| *sum += nats / members.len() as f64);
        }
        let margin = evidence.iter().sum::<f64>() - price(self.sources.all.len(), members.len());
        Campaign { members: members.to_vec(), evidence, margin }
    }

    /// Adds sources that fit and removes members that do not, until nothing changes. Returns the state with
    /// the largest gain.
    fn grow(&mut self, members: Vec<u32>) -> Campaign {
        let mut best = self.judge(&members);
        let mut now = members;
        for _ in 0..ROUNDS {
            let next = self.fitting(&now);
            if next == now || next.len() < 2 {
                break;
            }
            now = next;
            let grown = self.judge(&now);
            if grown.gain() > best.gain() {
                best = grown;
            }
        }
        best
    }

    /// Returns all sources that fit a group.
    fn fitting(&mut self, members: &[u32]) -> Vec<u32> {
        self.group.fill(self.sources, members);
        let price = price(self.sources.all.len(), members.len()) + JOIN;
        let mut fitting = Vec::new();
        for (n, source) in self.sources.all.iter().enumerate() {
            if self.taken[n] {
                continue;
            }
            let is_member = members.binary_search(&(n as u32)).is_ok();
            let evidence = self.group.evidence(&self.background, source, is_member, 1.0);
            if evidence.iter().sum::<f64>() >= price && enough_speak(&evidence) {
                fitting.push(n as u32);
            }
        }
        fitting
    }
}
