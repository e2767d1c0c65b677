//! Splits a group into two campaigns when two explain more than one, and merges two campaigns when one does.

use std::collections::HashSet;

use super::{
    grow::{Campaign, ROUNDS, Search},
    seeds::thinned,
    source::{FAMILIES, Family, Token},
};
use crate::{Stopped, Watch};

/// Scales the bounds of the evidence when deciding whether one campaign is two. Wider bounds let surplus
/// evidence still tell the two apart.
const SPLIT_SCALE: f64 = 3.0;
/// Members of a large group that are used to choose the tokens to split by.
const SAMPLE: usize = 200;
/// Tokens tried for each family.
const TRIED_TOKENS: usize = 16;
/// Most tokens among these with the same number of holders.
const TRIED_OF_A_COUNT: usize = 2;
/// Number of best splits that are refined.
const REFINED: usize = 4;
/// Nats that a split must gain for each source of the smaller part. Subgroups and shifts in time within one
/// campaign gain less.
const SPLIT_GAIN: f64 = 2.5;

impl Search<'_> {
    /// Splits a group while two campaigns are more likely than one, and the parts again.
    pub fn split(&mut self, members: Vec<u32>, watch: &mut Watch<'_>) -> Result<Vec<Vec<u32>>, Stopped> {
        self.leave_background(&members);
        let (mut whole, mut waiting) = (Vec::new(), vec![members.clone()]);
        while let Some(group) = waiting.pop() {
            // The caller reports progress; here we only check for cancellation.
            watch.at(0.0)?;
            match self.best_split(&group) {
                Some((one, other)) => waiting.extend([one, other]),
                None => whole.push(group),
            }
        }
        members.iter().for_each(|&member| self.background.restore(&self.sources.all[member as usize]));
        self.background.without_group = false;
        Ok(whole)
    }

    /// Removes the members from the background, so that all parts are compared with the same one.
    fn leave_background(&mut self, members: &[u32]) {
        members.iter().for_each(|&member| self.background.remove(&self.sources.all[member as usize]));
        self.background.without_group = true;
    }

    /// Returns the two groups that gain most over this one, or `None` if no split gains. Tokens that only
    /// some members have split the group; the best splits are then refined.
    fn best_split(&mut self, members: &[u32]) -> Option<(Vec<u32>, Vec<u32>)> {
        let least = self.min_sources.min(3);
        if members.len() < 2 * least {
            return None;
        }
        // A sample of a large group shows which token splits it. A small part is found once the rest has been
        // split off.
        let some = thinned(members, SAMPLE);
        let mut tried: Vec<(f64, Token)> = Vec::new();
        for token in self.splitting_tokens(&some) {
            let (one, other) = self.by_token(&some, token);
            tried
                .push((self.weigh(&one, SPLIT_SCALE).gain() + self.weigh(&other, SPLIT_SCALE).gain(), token));
        }
        tried.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(&other.1)));
        let whole = self.weigh(members, SPLIT_SCALE).gain();
        let mut best = (0.0, None);
        for (_, token) in tried.into_iter().take(REFINED) {
            let (one, other) = self.by_token(members, token);
            for (one, other) in [self.refined(members, one.clone()), (one, other)] {
                if one.len() < least || other.len() < least {
                    continue;
                }
                let gain =
                    self.weigh(&one, SPLIT_SCALE).gain() + self.weigh(&other, SPLIT_SCALE).gain() - whole;
                let net = gain - SPLIT_GAIN * one.len().min(other.len()) as f64;
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

    /// Returns tokens that only some members have: a few for each family and each number of holders, so that
    /// parts of every size are tried.
    fn splitting_tokens(&mut self, members: &[u32]) -> Vec<Token> {
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
                of_count <= TRIED_OF_A_COUNT
            });
            cuts.extend(thinned(&tokens, TRIED_TOKENS).into_iter().map(|(_, token)| token));
        }
        cuts
    }

    /// Refines a split into two groups, starting from `one`: each member moves to the group it fits better,
    /// until none moves.
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

    /// Returns how well each source fits a group; the relative size of the group is part of the fit.
    fn fits(&mut self, group: &[u32], sources: &[u32]) -> Vec<f64> {
        self.group.fill(self.sources, group);
        let size = (group.len() as f64 / sources.len() as f64).ln();
        let fit = |&source: &u32| {
            let is_member = group.binary_search(&source).is_ok();
            self.group
                .evidence(&self.background, &self.sources.all[source as usize], is_member, SPLIT_SCALE)
                .iter()
                .sum::<f64>()
                + size
        };
        sources.iter().map(fit).collect()
    }

    /// Merges two campaigns that are better described as one. A campaign with two tools is first found as
    /// two.
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
                if let Some(both) = self.merged(&campaigns[one], &campaigns[other]) {
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

    /// Returns two campaigns as one if the merged one gains more than both.
    fn merged(&mut self, one: &Campaign, other: &Campaign) -> Option<Campaign> {
        if !self.related(one, other) {
            return None;
        }
        let mut members = [one.members.as_slice(), &other.members].concat();
        members.sort_unstable();
        // The members were removed from the background when they became campaigns.
        self.background.without_group = true;
        let both = self.weigh(&members, SPLIT_SCALE).gain();
        let apart =
            self.weigh(&one.members, SPLIT_SCALE).gain() + self.weigh(&other.members, SPLIT_SCALE).gain();
        let cost = SPLIT_GAIN * one.members.len().min(other.members.len()) as f64;
        let merged = (both + cost > apart).then(|| self.judge(&members));
        self.background.without_group = false;
        merged
    }

    /// Whether the two share a credential, a command, an artefact or a network that most sources do not have.
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
