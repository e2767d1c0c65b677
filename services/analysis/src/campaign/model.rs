//! Computes how much more likely a source is as a member of a group than as any source: a naive Bayes mixture
//! over families of evidence.
//!
//! For a family with tokens t of the source, the evidence is Σ ln((λ q(t) + (1 − λ) p(t)) / p(t)). For
//! commands, sequences, artefacts and forward targets, q is the share of the *other* members that have t, and
//! p is the share of all other sources. For the other families, q and p are shares of t among the tokens of
//! the family. p is smoothed, and it is never below the prior of t ([`Sources::priors`]). p leaves the
//! campaign itself out, so that a campaign of hundreds of sources is still distinct from the background. q
//! leaves the member itself out, so that its own tokens never support it. The evidence of a family is
//! bounded, because its tokens depend on each other.

use super::source::{FAMILIES, Family, Source, Sources, Token};

/// Share of a member's tokens that come from the group's habits.
const LAMBDA: f64 = 0.8;
/// At each end, one in N of a group's times is ignored as an outlier.
const TRIMMED: usize = 20;
const HOUR: i64 = 3_600_000_000;
/// Smoothing of the background. It is smaller for artefacts: unrelated sources do not have the same hash or
/// key by chance.
const ALPHA: f64 = 0.5;
const ALPHA_UNIQUE: f64 = 0.1;
/// A token is familiar if its prior is at least this. All familiar tokens of a family together say at most
/// [`MOST_OF_FAMILIAR`] nats for a group, however many of them the members share.
const FAMILIAR: f64 = 0.002;
const MOST_OF_FAMILIAR: f64 = 1.8;

/// Bounds of the evidence of a family, in nats: least, most, and how much more for each shared token.
struct Bounds(f64, f64, f64);

fn bounds(family: Family) -> Bounds {
    match family {
        Family::Client => Bounds(-2.0, 5.0, 0.0),
        Family::Credential => Bounds(-0.5, 2.0, 1.5),
        Family::Order => Bounds(0.0, 2.0, 1.5),
        Family::Sequence => Bounds(-1.0, 6.0, 0.0),
        Family::Command => Bounds(-1.5, 3.0, 1.0),
        Family::Artefact => Bounds(0.0, 7.0, 1.0),
        Family::Target => Bounds(0.0, 6.0, 0.5),
        Family::Net => Bounds(0.0, 4.0, 0.0),
        Family::Region => Bounds(0.0, 1.5, 0.0),
        Family::Time => Bounds(-3.0, 3.0, 0.0),
        Family::Sensor => Bounds(-1.5, 1.5, 0.0),
        Family::Pace => Bounds(-1.5, 1.5, 0.0),
        Family::Shape => Bounds(-2.0, 2.0, 0.0),
    }
}

/// Families that overlap, and the most that both may bring together.
const TOGETHER: [(Family, Family, f64); 3] = [
    (Family::Credential, Family::Order, 16.0),
    (Family::Sequence, Family::Command, 9.0),
    (Family::Net, Family::Region, 4.5),
];

pub(super) type Evidence = [f64; FAMILIES];

/// How often each token occurs among sources that belong to no campaign so far.
#[derive(Clone, Debug)]
pub(super) struct Background {
    counts: Vec<u32>,
    totals: [u32; FAMILIES],
    distinct: [u32; FAMILIES],
    priors: Vec<f64>,
    sources: u32,
    /// First and last session starts of all sources, sorted.
    first_start: Vec<i64>,
    last_start: Vec<i64>,
    /// Whether the background leaves out the group that it is compared with.
    pub without_group: bool,
}

impl Background {
    pub fn of(sources: &Sources) -> Self {
        let sorted = |when: fn(&Source) -> i64| {
            let mut when: Vec<i64> = sources.all.iter().map(when).collect();
            when.sort_unstable();
            when
        };
        let mut background = Self {
            counts: vec![0; sources.families.len()],
            totals: [0; FAMILIES],
            distinct: [0; FAMILIES],
            priors: sources.priors.clone(),
            sources: 0,
            first_start: sorted(|source| source.first_start),
            last_start: sorted(|source| source.last_start),
            without_group: false,
        };
        for family in &sources.families {
            background.distinct[*family as usize] += 1;
        }
        sources.all.iter().for_each(|source| background.add(source, 1));
        background
    }

    fn add(&mut self, source: &Source, by: i32) {
        self.sources = self.sources.saturating_add_signed(by);
        for family in Family::ALL {
            let tokens = source.of(family);
            self.totals[family as usize] =
                self.totals[family as usize].saturating_add_signed(by * tokens.len() as i32);
            for &token in tokens {
                self.counts[token as usize] = self.counts[token as usize].saturating_add_signed(by);
            }
        }
    }

    /// Removes a source from the background counts (it belongs to a campaign).
    pub fn remove(&mut self, source: &Source) {
        self.add(source, -1);
    }

    pub fn restore(&mut self, source: &Source) {
        self.add(source, 1);
    }

    pub fn count(&self, token: Token) -> u32 {
        self.counts[token as usize]
    }
}

/// Counts over the members of a group. It has room for every token, so it is allocated once and refilled.
#[derive(Debug)]
pub(super) struct Group {
    counts: Vec<u32>,
    touched: Vec<Token>,
    totals: [u32; FAMILIES],
    members: u32,
    /// First and last session starts of the members, sorted.
    first_start: Vec<i64>,
    last_start: Vec<i64>,
}

impl Group {
    pub fn of_tokens(tokens: usize) -> Self {
        Self {
            counts: vec![0; tokens],
            touched: Vec::new(),
            totals: [0; FAMILIES],
            members: 0,
            first_start: Vec::new(),
            last_start: Vec::new(),
        }
    }

    pub fn fill(&mut self, sources: &Sources, members: &[u32]) {
        for token in self.touched.drain(..) {
            self.counts[token as usize] = 0;
        }
        self.totals = [0; FAMILIES];
        self.members = members.len() as u32;
        self.first_start = members.iter().map(|&member| sources.all[member as usize].first_start).collect();
        self.last_start = members.iter().map(|&member| sources.all[member as usize].last_start).collect();
        self.first_start.sort_unstable();
        self.last_start.sort_unstable();
        for &member in members {
            let source = &sources.all[member as usize];
            for family in Family::ALL {
                self.totals[family as usize] += source.of(family).len() as u32;
            }
            for &token in &source.tokens {
                let count = &mut self.counts[token as usize];
                if *count == 0 {
                    self.touched.push(token);
                }
                *count += 1;
            }
        }
    }

    /// Returns the tokens of the members, each with the number of members that have it.
    pub fn tokens(&self) -> impl Iterator<Item = (Token, u32)> {
        self.touched.iter().map(|&token| (token, self.counts[token as usize]))
    }

    /// Returns the evidence that a source is a member. A member is compared with the other members. `scale`
    /// widens the bounds of each family.
    pub fn evidence(
        &self,
        background: &Background,
        source: &Source,
        is_member: bool,
        scale: f64,
    ) -> Evidence {
        let mut evidence = [0.0; FAMILIES];
        for family in Family::ALL {
            evidence[family as usize] =
                self.of_family(background, source.of(family), family, u32::from(is_member), scale);
        }
        let first_start = when(&self.first_start, &background.first_start, source.first_start, is_member);
        let Bounds(least, most, _) = bounds(Family::Time);
        let stay = first_start + when(&self.last_start, &background.last_start, source.last_start, is_member);
        let time = &mut evidence[Family::Time as usize];
        *time = time.max(stay.clamp(least * scale, most * scale));
        for (one, other, most) in TOGETHER {
            let (both, most) = (evidence[one as usize] + evidence[other as usize], most * scale);
            if both > most {
                evidence[one as usize] *= most / both;
                evidence[other as usize] *= most / both;
            }
        }
        evidence
    }

    fn of_family(
        &self,
        background: &Background,
        tokens: &[Token],
        family: Family,
        own: u32,
        scale: f64,
    ) -> f64 {
        let index = family as usize;
        let per_source = family.is_per_source();
        let all = if per_source {
            self.members - own
        } else {
            self.totals[index].saturating_sub(own * tokens.len() as u32)
        };
        if tokens.is_empty() || all == 0 {
            return 0.0;
        }
        let alpha = if family == Family::Artefact { ALPHA_UNIQUE } else { ALPHA };
        // Subtract the group (and the candidate) from the background, so that neither is compared with
        // itself.
        let contained = u32::from(!background.without_group);
        let outside = if per_source {
            f64::from(background.sources.saturating_sub(contained * (self.members + (1 - own)))) + 2.0 * alpha
        } else {
            f64::from(background.totals[index].saturating_sub(contained * self.totals[index]))
                + alpha * f64::from(background.distinct[index])
        };
        // A source that forwards to N targets has N chances to share one.
        let chances = if family == Family::Target { tokens.len() as f64 } else { 1.0 };
        let (mut speaks_for, mut familiar, mut against, mut shared) = (0.0, 0.0, 0.0, 0.0);
        for &token in tokens {
            let inside = self.counts[token as usize];
            let others = inside - own;
            let elsewhere =
                background.counts[token as usize].saturating_sub(contained * (inside + (1 - own)));
            let p = ((f64::from(elsewhere) + alpha) / outside.max(1.0))
                .max(background.priors[token as usize])
                * chances;
            let p = p.min(1.0);
            let q = f64::from(others) / f64::from(all);
            let nats = ((LAMBDA * q + (1.0 - LAMBDA) * p) / p).ln();
            let is_familiar = background.priors[token as usize] >= FAMILIAR;
            match nats {
                _ if nats <= 0.0 => against += nats,
                _ if is_familiar => familiar += nats,
                _ => speaks_for += nats,
            }
            shared += f64::from(u8::from(others > 0 && !is_familiar));
        }
        speaks_for += f64::min(familiar, MOST_OF_FAMILIAR);
        let Bounds(least, most, each) = bounds(family);
        // Tokens that only this source has do not outweigh the shared ones, however many they are.
        let sum = if per_source { speaks_for + f64::max(against, least) } else { speaks_for + against };
        sum.clamp(least * scale, (most + each * shared) * scale)
    }
}

/// Evidence of a time: ln((λ + (1 − λ) p) / p) if it lies within the times of a group, else ln(1 − λ). p is
/// the share of the other sources whose times lie within. "Within" is from the first to the last time,
/// without the outliers of a large group, extended on both sides by their mean distance. Both slices are
/// sorted; `group` is a part of `all`.
fn when(group: &[i64], all: &[i64], time: i64, is_member: bool) -> f64 {
    let own = if is_member { group.partition_point(|&other| other < time) } else { usize::MAX };
    let trimmed = group.len() / TRIMMED;
    // Skip the member itself.
    let at = |n: usize| group[n + usize::from(n >= own)];
    let others = group.len() - usize::from(is_member);
    if others < 2 {
        return 0.0;
    }
    let (low, high) = (at(trimmed), at(others - 1 - trimmed));
    let margin = high.saturating_sub(low) / others as i64 + HOUR;
    let (low, high) = (low.saturating_sub(margin), high.saturating_add(margin));
    if !(low..=high).contains(&time) {
        return (1.0 - LAMBDA).ln();
    }
    let within = all.partition_point(|&other| other <= high) - all.partition_point(|&other| other < low);
    let p = (within.saturating_sub(group.len()) as f64 + 1.0)
        / (all.len().saturating_sub(group.len()) as f64 + 1.0);
    ((LAMBDA + (1.0 - LAMBDA) * p) / p).ln()
}

/// The price of a member, in nats: what it costs to name the members of the group among all sources, ln C(n,
/// m) / m by Stirling.
pub(super) fn price(sources: usize, members: usize) -> f64 {
    (sources.max(1) as f64 / members.max(1) as f64).ln().max(0.0) + 1.0
}
