//! From seeds to campaigns: groups that share something are tried, the best grow, and what they take is no longer background.

use std::collections::{HashMap, HashSet};

use super::{
    model::{Background, Evidence, Group, price},
    source::{FAMILIES, Family, Sources, Token},
};
use crate::{Stopped, Watch};

/// Sources of a seed that are looked at.
const SAMPLE: usize = 64;
/// Rounds in which a group grows or shrinks.
const ROUNDS: usize = 8;
/// What a member must bring beyond its price to be taken, in nats.
const JOIN: f64 = 1.0;
/// Nats beyond the price that the members of a campaign bring on average, at least.
pub(super) const MARGIN: f64 = 3.0;
/// And all of them together.
const GAIN: f64 = 15.0;
/// A family speaks for a campaign when it brings so much on average.
const SPEAKS: f64 = 1.0;
/// What families may say when it is asked whether one campaign is rather two: then more than enough evidence still tells them apart.
const TELLING_APART: f64 = 3.0;
/// Tokens by which a campaign may come apart that are tried.
const CUTS: usize = 24;
/// Families that link sources to one hand, and with how many nats on average: what malware of one family has in common, whoever runs it (client,
/// commands, default credentials, the look of its sessions), does not.
const LINKS: [(Family, f64); 4] = [(Family::Artefact, 1.5), (Family::Order, 1.5), (Family::Net, 1.5), (Family::Time, 1.0)];
/// A holder group of a frequent token is tried when it is so many times as large as expected.
const LIFT: f64 = 2.0;

/// Sources that act together.
#[derive(Clone, Debug)]
pub(super) struct Campaign {
    /// Indices into [`Sources::all`], sorted.
    pub members: Vec<u32>,
    /// Mean over the members.
    pub evidence: Evidence,
    /// Mean nats beyond the price.
    pub margin: f64,
}

impl Campaign {
    fn gain(&self) -> f64 {
        self.margin * self.members.len() as f64
    }

    fn holds(&self) -> bool {
        let families = self.evidence.iter().filter(|&&nats| nats >= SPEAKS).count();
        let linked = LINKS.iter().any(|&(family, nats)| self.evidence[family as usize] >= nats);
        self.margin >= MARGIN && self.gain() >= GAIN && families >= 2 && linked
    }
}

pub(super) struct Search<'a> {
    sources: &'a Sources,
    background: Background,
    group: Group,
    taken: Vec<bool>,
    min_sources: usize,
}

impl<'a> Search<'a> {
    pub fn of(sources: &'a Sources, min_sources: usize) -> Self {
        Self {
            background: Background::of(sources),
            group: Group::of_tokens(sources.families.len()),
            taken: vec![false; sources.all.len()],
            min_sources: min_sources.max(2),
            sources,
        }
    }

    /// All campaigns, largest gain first.
    pub fn run(mut self, watch: &mut Watch<'_>) -> Result<Vec<Campaign>, Stopped> {
        let seeds = self.seeds();
        let mut ranked = Vec::with_capacity(seeds.len());
        for (n, seed) in seeds.iter().enumerate() {
            if n % 64 == 0 {
                watch.at(0.4 * n as f64 / seeds.len() as f64)?;
            }
            ranked.push((self.judge(seed).gain(), n));
        }
        ranked.retain(|(gain, _)| *gain > 0.0);
        ranked.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(&other.1)));
        let mut campaigns = Vec::new();
        for (n, &(_, seed)) in ranked.iter().enumerate() {
            watch.at(0.4 + 0.5 * n as f64 / ranked.len() as f64)?;
            let left: Vec<u32> = seeds[seed].iter().copied().filter(|&member| !self.taken[member as usize]).collect();
            if left.len() < self.min_sources.min(3) || self.judge(&left).gain() <= 0.0 {
                continue;
            }
            let grown = self.grow(left);
            for part in self.apart(grown.members) {
                let campaign = self.judge(&part);
                if campaign.holds() && part.len() >= self.min_sources {
                    self.take(&campaign);
                    campaigns.push(campaign);
                }
            }
        }
        watch.at(0.9)?;
        let mut merged = self.merge(campaigns, watch)?;
        merged.sort_by(|one, other| other.gain().total_cmp(&one.gain()).then_with(|| one.members.cmp(&other.members)));
        watch.at(1.0)?;
        Ok(merged)
    }

    fn take(&mut self, campaign: &Campaign) {
        for &member in &campaign.members {
            self.taken[member as usize] = true;
            self.background.remove(&self.sources.all[member as usize]);
        }
    }

    fn give_back(&mut self, campaign: &Campaign) {
        for &member in &campaign.members {
            self.taken[member as usize] = false;
            self.background.restore(&self.sources.all[member as usize]);
        }
    }

    /// Groups that share something which is not everybody's: each sorted, each once.
    fn seeds(&self) -> Vec<Vec<u32>> {
        let mut holders: Vec<Vec<u32>> = vec![Vec::new(); self.sources.families.len()];
        for (source, n) in self.sources.all.iter().zip(0..) {
            source.tokens.iter().for_each(|&token| holders[token as usize].push(n));
        }
        let (mut seeds, mut seen) = (Vec::new(), HashSet::new());
        let mut add = |seed: Vec<u32>| {
            if seed.len() >= 3 && seen.insert(seed.clone()) {
                seeds.push(seed);
            }
        };
        for (token, of_token) in holders.into_iter().enumerate() {
            let family = self.sources.families[token];
            let by_itself =
                matches!(family, Family::Client | Family::Credential | Family::Order | Family::Sequence | Family::Command | Family::Artefact | Family::Net);
            if by_itself && of_token.len() <= SAMPLE {
                add(of_token);
            } else if family != Family::Client {
                self.with_client(&of_token).into_iter().map(sample).for_each(&mut add);
            }
        }
        seeds
    }

    /// Of the holders of a token, those with the same client, where they are more than would be expected.
    fn with_client(&self, holders: &[u32]) -> Vec<Vec<u32>> {
        let mut by_client = HashMap::<Token, Vec<u32>>::new();
        for &holder in holders {
            for &client in self.sources.all[holder as usize].of(Family::Client).iter().take(2) {
                by_client.entry(client).or_default().push(holder);
            }
        }
        let mut groups: Vec<_> = by_client.into_iter().collect();
        groups.sort_unstable_by_key(|(client, _)| *client);
        let all = self.sources.all.len().max(1) as f64;
        let expected = |client: Token| f64::from(self.background.count(client)) * holders.len() as f64 / all;
        groups.retain(|(client, group)| group.len() >= 3 && group.len() as f64 >= LIFT * expected(*client));
        groups.into_iter().map(|(_, group)| group).collect()
    }

    /// A group as a campaign, whether it is one or not.
    fn judge(&mut self, members: &[u32]) -> Campaign {
        self.weigh(members, 1.0)
    }

    fn weigh(&mut self, members: &[u32], trust: f64) -> Campaign {
        self.group.fill(self.sources, members);
        let mut evidence = [0.0; FAMILIES];
        for &member in members {
            let of_member = self.group.evidence(&self.background, &self.sources.all[member as usize], true, trust);
            evidence.iter_mut().zip(of_member).for_each(|(sum, nats)| *sum += nats / members.len() as f64);
        }
        let margin = evidence.iter().sum::<f64>() - price(self.background.sources, members.len());
        Campaign { members: members.to_vec(), evidence, margin }
    }

    /// Cuts a group where two are more likely than one, and the pieces again.
    fn apart(&mut self, members: Vec<u32>) -> Vec<Vec<u32>> {
        let (mut whole, mut waiting) = (Vec::new(), vec![members]);
        while let Some(group) = waiting.pop() {
            match self.cut(&group) {
                Some((one, other)) => waiting.extend([one, other]),
                None => whole.push(group),
            }
        }
        whole
    }

    /// The two groups that a token parts this one into, of the token with which they gain most, if they gain.
    fn cut(&mut self, members: &[u32]) -> Option<(Vec<u32>, Vec<u32>)> {
        if members.len() < 2 * self.min_sources.min(3) {
            return None;
        }
        let mut best = (self.weigh(members, TELLING_APART).gain(), None);
        for token in self.cuts(members) {
            let (one, other): (Vec<u32>, Vec<u32>) = members.iter().partition(|&&member| self.sources.all[member as usize].tokens.contains(&token));
            let gain = self.weigh(&one, TELLING_APART).gain() + self.weigh(&other, TELLING_APART).gain();
            if gain > best.0 {
                best = (gain, Some((one, other)));
            }
        }
        best.1
    }

    /// Tokens that some members have and some have not, those first that part them most evenly; of each family its share.
    fn cuts(&mut self, members: &[u32]) -> Vec<Token> {
        self.group.fill(self.sources, members);
        let least = self.min_sources.min(3);
        let mut tokens: Vec<(usize, Family, Token)> = self
            .group
            .tokens()
            .map(|(token, count)| (members.len().abs_diff(2 * count as usize), self.sources.families[token as usize], token))
            .filter(|(uneven, family, _)| {
                let smaller = (members.len() - uneven) / 2;
                smaller >= least
                    && matches!(
                        family,
                        Family::Client | Family::Credential | Family::Sequence | Family::Command | Family::Artefact | Family::Net | Family::Sensor
                    )
            })
            .collect();
        tokens.sort_unstable();
        let mut of_family = [0; FAMILIES];
        tokens.retain(|(_, family, _)| {
            of_family[*family as usize] += 1;
            of_family[*family as usize] <= CUTS / 6
        });
        tokens.into_iter().map(|(_, _, token)| token).collect()
    }

    /// Takes in who fits and lets go who does not, until nothing changes.
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

    /// All sources that fit to a group.
    fn fitting(&mut self, members: &[u32]) -> Vec<u32> {
        self.group.fill(self.sources, members);
        let price = price(self.background.sources, members.len()) + JOIN;
        let mut fitting = Vec::new();
        for (n, source) in self.sources.all.iter().enumerate() {
            if self.taken[n] {
                continue;
            }
            let is_member = members.binary_search(&(n as u32)).is_ok();
            let evidence = self.group.evidence(&self.background, source, is_member, 1.0);
            if evidence.iter().sum::<f64>() >= price && evidence.iter().filter(|&&nats| nats >= SPEAKS).count() >= 2 {
                fitting.push(n as u32);
            }
        }
        fitting
    }

    /// Two that are better described as one become one: a campaign with two tools is found as two.
    fn merge(&mut self, mut campaigns: Vec<Campaign>, watch: &mut Watch<'_>) -> Result<Vec<Campaign>, Stopped> {
        let mut one = 0;
        while one < campaigns.len() {
            watch.at(0.9 + 0.1 * one as f64 / campaigns.len() as f64)?;
            let mut other = one + 1;
            while other < campaigns.len() {
                if let Some(both) = self.together(&campaigns[one], &campaigns[other]) {
                    campaigns[one] = both;
                    campaigns.remove(other);
                    other = one + 1;
                } else {
                    other += 1;
                }
            }
            one += 1;
        }
        Ok(campaigns)
    }

    /// Two campaigns as one, when that gains more than both.
    fn together(&mut self, one: &Campaign, other: &Campaign) -> Option<Campaign> {
        if !self.related(one, other) {
            return None;
        }
        self.give_back(one);
        self.give_back(other);
        let mut members = [one.members.as_slice(), &other.members].concat();
        members.sort_unstable();
        let both = self.weigh(&members, TELLING_APART).gain();
        let apart = self.weigh(&one.members, TELLING_APART).gain() + self.weigh(&other.members, TELLING_APART).gain();
        let taken = (both > apart).then(|| self.judge(&members));
        self.take(one);
        self.take(other);
        taken
    }

    /// Whether they have a credential, a command, an artefact or a network in common that most do not have.
    fn related(&mut self, one: &Campaign, other: &Campaign) -> bool {
        self.group.fill(self.sources, &one.members);
        let often = |count: u32, of: usize| count as usize * 4 >= of;
        let strong: HashSet<Token> = self.group.tokens().filter(|(_, count)| often(*count, one.members.len())).map(|(token, _)| token).collect();
        self.group.fill(self.sources, &other.members);
        let rare = |token: Token| (self.background.count(token) as usize) * 20 <= self.background.sources;
        self.group.tokens().any(|(token, count)| {
            let family = self.sources.families[token as usize];
            let telling = matches!(family, Family::Credential | Family::Order | Family::Sequence | Family::Command | Family::Artefact | Family::Net);
            telling && often(count, other.members.len()) && strong.contains(&token) && rare(token)
        })
    }
}

/// Some of many, evenly.
fn sample(all: Vec<u32>) -> Vec<u32> {
    if all.len() <= SAMPLE {
        return all;
    }
    (0..SAMPLE).map(|n| all[n * all.len() / SAMPLE]).collect()
}
