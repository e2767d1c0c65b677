//! From seeds to campaigns: groups that share something are tried, the best grow, and what they take is no
//! longer background.

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
/// Credentials that bring so much are known to hardly anybody else.
const FEW_KNOW: f64 = 8.0;
/// A family speaks for a campaign when it brings so much on average.
const SPEAKS: f64 = 1.0;
/// What families may say when it is asked whether one campaign is rather two: then more than enough evidence
/// still tells them apart.
const TELLING_APART: f64 = 3.0;
/// Members of a large group that are looked at when it is asked by which token it comes apart.
const TRIED: usize = 200;
/// Tokens of each family that are tried, of them with the same number of holders; and the best ones whose
/// parts are refined.
const CUTS: usize = 16;
const OF_A_COUNT: usize = 2;
const REFINED: usize = 4;
/// Two are told apart only when that explains so much more for each source of the smaller one, in nats: a
/// campaign has its groups and shifts, too.
const APART: f64 = 2.5;
/// How many neighbours of a source make a seed with it; a token of more than one in so many sources makes no
/// neighbours.
const NEIGHBOURS: [usize; 2] = [2, 4];
/// A seed grows when its members bring so much beyond their price on average, in nats.
const SEED: f64 = 2.0;
const FREQUENT: usize = 50;
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
    fn of(&self, family: Family) -> f64 {
        self.evidence[family as usize]
    }

    /// Whether something ties the sources to one hand. What malware of one family has in common whoever runs
    /// it (client, commands, default credentials, the look of its sessions) does not, and neither do hours of
    /// the day: there must be a tool in common and a time in common, or a list, a network, or an artefact
    /// that is really theirs.
    fn is_linked(&self) -> bool {
        let tool = self.of(Family::Client) >= 1.0
            || self.of(Family::Sequence) >= 1.5
            || self.of(Family::Command) >= 2.0;
        let list = self.of(Family::Order) >= 1.5 && self.of(Family::Credential) >= 2.0;
        let artefact = self.of(Family::Artefact) >= 6.0
            || (self.of(Family::Artefact) >= 1.5 && self.of(Family::Time) >= 0.0);
        let few = self.of(Family::Credential) >= FEW_KNOW && self.of(Family::Time) >= 1.0;
        list || artefact || few || self.of(Family::Net) >= 1.5 || (tool && self.of(Family::Time) >= 1.0)
    }

    fn gain(&self) -> f64 {
        self.margin * self.members.len() as f64
    }

    fn holds(&self) -> bool {
        let families = self.evidence.iter().filter(|&&nats| nats >= SPEAKS).count();
        self.margin >= MARGIN && self.gain() >= GAIN && families >= 2 && self.is_linked()
    }
}

pub(super) struct Search<'a> {
    sources: &'a Sources,
    background: Background,
    group: Group,
    taken: Vec<bool>,
    /// Groups that were no campaigns.
    refused: Vec<Vec<u32>>,
    min_sources: usize,
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

    /// All campaigns, largest gain first.
    pub fn run(mut self, watch: &mut Watch<'_>) -> Result<Vec<Campaign>, Stopped> {
        let seeds = self.seeds();
        let mut ranked = Vec::with_capacity(seeds.len());
        for (n, seed) in seeds.iter().enumerate() {
            if n % 64 == 0 {
                watch.at(0.4 * n as f64 / seeds.len() as f64)?;
            }
            let judged = self.judge(seed);
            if judged.margin >= SEED {
                ranked.push((judged.gain(), n));
            }
        }
        ranked.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(&other.1)));
        let mut campaigns = Vec::new();
        for (n, &(_, seed)) in ranked.iter().enumerate() {
            watch.at(0.4 + 0.5 * n as f64 / ranked.len() as f64)?;
            let left: Vec<u32> =
                seeds[seed].iter().copied().filter(|&member| !self.taken[member as usize]).collect();
            if left.len() < self.min_sources.min(3) || self.refused(&left) || self.judge(&left).margin < SEED
            {
                continue;
            }
            let grown = self.grow(left.clone());
            let before = campaigns.len();
            for part in self.apart(grown.members, watch)? {
                self.keep(part, &mut campaigns);
            }
            // What grew too far may be one as it was.
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

    /// Takes a group that is a campaign, and remembers one that is none: seeds within it would grow into the
    /// same.
    fn keep(&mut self, group: Vec<u32>, campaigns: &mut Vec<Campaign>) {
        let campaign = self.judge(&group);
        if campaign.holds() && group.len() >= self.min_sources {
            self.take(&campaign);
            campaigns.push(campaign);
        } else {
            self.refused.push(group);
        }
    }

    /// Whether a seed is part of a group that was no campaign.
    fn refused(&self, seed: &[u32]) -> bool {
        self.refused.iter().any(|group| seed.iter().all(|member| group.binary_search(member).is_ok()))
    }

    fn take(&mut self, campaign: &Campaign) {
        for &member in &campaign.members {
            self.taken[member as usize] = true;
            self.background.remove(&self.sources.all[member as usize]);
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
        self.neighbours(&holders).into_iter().for_each(&mut add);
        for (token, of_token) in holders.into_iter().enumerate() {
            let family = self.sources.families[token];
            let by_itself = matches!(
                family,
                Family::Client
                    | Family::Credential
                    | Family::Order
                    | Family::Sequence
                    | Family::Command
                    | Family::Artefact
                    | Family::Net
            );
            if by_itself && of_token.len() <= SAMPLE {
                add(of_token);
            } else if family != Family::Client {
                self.with_client(&of_token).iter().map(|group| thinned(group, SAMPLE)).for_each(&mut add);
            }
        }
        seeds
    }

    /// Each source with those few that have most in common with it which few others have.
    fn neighbours(&self, holders: &[Vec<u32>]) -> Vec<Vec<u32>> {
        let all = self.sources.all.len();
        let mut alike = vec![0.0_f64; all];
        let mut met = Vec::new();
        let mut groups = Vec::new();
        for (n, source) in self.sources.all.iter().enumerate() {
            for &token in &source.tokens {
                let of_token = &holders[token as usize];
                if of_token.len() < 2 || of_token.len() > (all / FREQUENT).max(SAMPLE) {
                    continue;
                }
                let weight = (all as f64 / of_token.len() as f64).ln();
                for &other in of_token {
                    if alike[other as usize] == 0.0 {
                        met.push(other);
                    }
                    alike[other as usize] += weight;
                }
            }
            let mut nearest: Vec<(f64, u32)> = met
                .drain(..)
                .map(|other| (std::mem::take(&mut alike[other as usize]), other))
                .filter(|&(_, other)| other as usize != n)
                .collect();
            nearest.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(&other.1)));
            for size in NEIGHBOURS {
                let mut group: Vec<u32> =
                    nearest.iter().take(size).map(|&(_, other)| other).chain([n as u32]).collect();
                group.sort_unstable();
                groups.push(group);
            }
        }
        groups
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
            let of_member =
                self.group.evidence(&self.background, &self.sources.all[member as usize], true, trust);
            evidence.iter_mut().zip(of_member).for_each(|(sum, nats)| *sum += nats / members.len() as f64);
        }
        let margin = evidence.iter().sum::<f64>() - price(self.sources.all.len(), members.len());
        Campaign { members: members.to_vec(), evidence, margin }
    }

    /// Cuts a group where two are more likely than one, and the pieces again.
    fn apart(&mut self, members: Vec<u32>, watch: &mut Watch<'_>) -> Result<Vec<Vec<u32>>, Stopped> {
        self.set_aside(&members);
        let (mut whole, mut waiting) = (Vec::new(), vec![members.clone()]);
        while let Some(group) = waiting.pop() {
            // How far it is says the caller; here it is only asked whether to go on.
            watch.at(0.0)?;
            match self.cut(&group) {
                Some((one, other)) => waiting.extend([one, other]),
                None => whole.push(group),
            }
        }
        members.iter().for_each(|&member| self.background.restore(&self.sources.all[member as usize]));
        self.background.without_group = false;
        Ok(whole)
    }

    /// All parts are held against the same background: everybody who is in none of them.
    fn set_aside(&mut self, members: &[u32]) {
        members.iter().for_each(|&member| self.background.remove(&self.sources.all[member as usize]));
        self.background.without_group = true;
    }

    /// The two groups that gain most over this one, if any gain. Tokens that some have and some have not part
    /// it; the best parts are then refined.
    fn cut(&mut self, members: &[u32]) -> Option<(Vec<u32>, Vec<u32>)> {
        let least = self.min_sources.min(3);
        if members.len() < 2 * least {
            return None;
        }
        // Of a large group some are enough to see by which token it comes apart; a small part of it is seen
        // when the rest is off.
        let some = thinned(members, TRIED);
        let mut tried: Vec<(f64, Token)> = Vec::new();
        for token in self.cuts(&some) {
            let (one, other) = self.by_token(&some, token);
            tried.push((
                self.weigh(&one, TELLING_APART).gain() + self.weigh(&other, TELLING_APART).gain(),
                token,
            ));
        }
        tried.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(&other.1)));
        let whole = self.weigh(members, TELLING_APART).gain();
        let mut best = (0.0, None);
        for (_, token) in tried.into_iter().take(REFINED) {
            let (one, other) = self.by_token(members, token);
            for (one, other) in [self.refined(members, one.clone()), (one, other)] {
                if one.len() < least || other.len() < least {
                    continue;
                }
                let gain =
                    self.weigh(&one, TELLING_APART).gain() + self.weigh(&other, TELLING_APART).gain() - whole;
                let net = gain - APART * one.len().min(other.len()) as f64;
                if net > best.0 {
                    best = (net, Some((one, other)));
                }
            }
        }
        best.1
    }

    fn by_token(&self, members: &[u32], token: Token) -> (Vec<u32>, Vec<u32>) {
        members.iter().partition(|&&member| self.sources.all[member as usize].tokens.contains(&token))
    }

    /// Tokens that some members have and some have not: of each family and each number of holders a few, so
    /// that parts of every size are tried.
    fn cuts(&mut self, members: &[u32]) -> Vec<Token> {
        self.group.fill(self.sources, members);
        let least = self.min_sources.min(3);
        let mut by_family = vec![Vec::<(u32, Token)>::new(); FAMILIES];
        for (token, count) in self.group.tokens() {
            let family = self.sources.families[token as usize];
            let telling = matches!(
                family,
                Family::Client
                    | Family::Credential
                    | Family::Sequence
                    | Family::Command
                    | Family::Artefact
                    | Family::Net
                    | Family::Region
                    | Family::Sensor
            );
            if telling && count as usize >= least && members.len() - count as usize >= least {
                by_family[family as usize].push((count, token));
            }
        }
        let mut cuts = Vec::new();
        for mut tokens in by_family {
            tokens.sort_unstable();
            let (mut of_count, mut last) = (0, 0);
            tokens.retain(|&(count, _)| {
                of_count = if count == last { of_count + 1 } else { 1 };
                last = count;
                of_count <= OF_A_COUNT
            });
            cuts.extend(thinned(&tokens, CUTS).into_iter().map(|(_, token)| token));
        }
        cuts
    }

    /// Two groups, of which one is given to begin with: each member goes where it fits better, until none
    /// moves.
    fn refined(&mut self, members: &[u32], mut one: Vec<u32>) -> (Vec<u32>, Vec<u32>) {
        let rest = |one: &[u32]| -> Vec<u32> {
            members.iter().copied().filter(|member| one.binary_search(member).is_err()).collect()
        };
        for _ in 0..ROUNDS {
            let other = rest(&one);
            if one.len() < 2 || other.len() < 2 {
                break;
            }
            let with_one = self.fits(&one, members);
            let with_other = self.fits(&other, members);
            let next: Vec<u32> = members
                .iter()
                .zip(with_one.iter().zip(&with_other))
                .filter(|(_, (one, other))| one > other)
                .map(|(&member, _)| member)
                .collect();
            if next == one {
                break;
            }
            one = next;
        }
        let other = rest(&one);
        (one, other)
    }

    /// How each of some sources fits to a group, with what the group's size says about it.
    fn fits(&mut self, group: &[u32], sources: &[u32]) -> Vec<f64> {
        self.group.fill(self.sources, group);
        let size = (group.len() as f64 / sources.len() as f64).ln();
        let fit = |&source: &u32| {
            let is_member = group.binary_search(&source).is_ok();
            self.group
                .evidence(&self.background, &self.sources.all[source as usize], is_member, TELLING_APART)
                .iter()
                .sum::<f64>()
                + size
        };
        sources.iter().map(fit).collect()
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
        let price = price(self.sources.all.len(), members.len()) + JOIN;
        let mut fitting = Vec::new();
        for (n, source) in self.sources.all.iter().enumerate() {
            if self.taken[n] {
                continue;
            }
            let is_member = members.binary_search(&(n as u32)).is_ok();
            let evidence = self.group.evidence(&self.background, source, is_member, 1.0);
            if evidence.iter().sum::<f64>() >= price
                && evidence.iter().filter(|&&nats| nats >= SPEAKS).count() >= 2
            {
                fitting.push(n as u32);
            }
        }
        fitting
    }

    /// Two that are better described as one become one: a campaign with two tools is found as two.
    fn merge(
        &mut self,
        mut campaigns: Vec<Campaign>,
        watch: &mut Watch<'_>,
    ) -> Result<Vec<Campaign>, Stopped> {
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
        let mut members = [one.members.as_slice(), &other.members].concat();
        members.sort_unstable();
        // What is taken is background no more.
        self.background.without_group = true;
        let both = self.weigh(&members, TELLING_APART).gain();
        let apart =
            self.weigh(&one.members, TELLING_APART).gain() + self.weigh(&other.members, TELLING_APART).gain();
        let cost = APART * one.members.len().min(other.members.len()) as f64;
        let together = (both + cost > apart).then(|| self.judge(&members));
        self.background.without_group = false;
        together
    }

    /// Whether they have a credential, a command, an artefact or a network in common that most do not have.
    fn related(&mut self, one: &Campaign, other: &Campaign) -> bool {
        self.group.fill(self.sources, &one.members);
        let often = |count: u32, of: usize| count as usize * 4 >= of;
        let strong: HashSet<Token> = self
            .group
            .tokens()
            .filter(|(_, count)| often(*count, one.members.len()))
            .map(|(token, _)| token)
            .collect();
        self.group.fill(self.sources, &other.members);
        let rare = |token: Token| (self.background.count(token) as usize) * 20 <= self.sources.all.len();
        self.group.tokens().any(|(token, count)| {
            let family = self.sources.families[token as usize];
            let telling = matches!(
                family,
                Family::Credential
                    | Family::Order
                    | Family::Sequence
                    | Family::Command
                    | Family::Artefact
                    | Family::Net
            );
            telling && often(count, other.members.len()) && strong.contains(&token) && rare(token)
        })
    }
}

/// At most so many of them, evenly.
fn thinned<T: Copy>(all: &[T], most: usize) -> Vec<T> {
    if all.len() <= most { all.to_vec() } else { (0..most).map(|n| all[n * all.len() / most]).collect() }
}
