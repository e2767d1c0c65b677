//! One campaign or two: a group comes apart where that explains more, and two become one.

use std::collections::HashSet;

use super::{
    grow::{Campaign, ROUNDS, Search},
    seeds::thinned,
    source::{FAMILIES, Family, Token},
};
use crate::{Stopped, Watch};

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

impl Search<'_> {
    /// Cuts a group where two are more likely than one, and the pieces again.
    pub fn apart(&mut self, members: Vec<u32>, watch: &mut Watch<'_>) -> Result<Vec<Vec<u32>>, Stopped> {
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
                    | Family::Target
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

    /// Two that are better described as one become one: a campaign with two tools is found as two.
    pub fn merge(
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
                    | Family::Target
                    | Family::Net
            );
            telling && often(count, other.members.len()) && strong.contains(&token) && rare(token)
        })
    }
}
