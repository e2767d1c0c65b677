//! How much more likely a source is as a member of a group than as one of all: a naive Bayes mixture over
//! families of evidence.
//!
//! For a family with tokens t of the source, the evidence is Σ ln((λ q(t) + (1 − λ) p(t)) / p(t)). For
//! commands, sequences, artefacts and forward targets, q is the share of the *other* members that have t, and
//! p is the share of all other sources. For the other families, q and p are shares of t among the tokens of
//! the family. p is smoothed, and it is never below the prior of t ([`Sources::priors`]). A campaign of
//! hundreds is not hidden by its own weight, because p leaves it out; a member is compared with the other
//! members only. What a family may say is bounded, because its tokens depend on each other.

use super::source::{FAMILIES, Family, Source, Sources, Token};

/// Share of a member's tokens that come from the group's habits.
const LAMBDA: f64 = 0.8;
/// One in so many of a group's times may lie anywhere.
const TRIMMED: usize = 20;
/// In microseconds.
const HOUR: i64 = 3_600_000_000;
/// Smoothing of the background. It is smaller for artefacts: unrelated sources do not have the same hash or
/// key by chance.
const ALPHA: f64 = 0.5;
const ALPHA_UNIQUE: f64 = 0.1;
/// A token is familiar if its prior is at least this. All familiar tokens of a family together say at most
/// [`MOST_OF_FAMILIAR`] nats for a group, however many of them the members share.
const FAMILIAR: f64 = 0.002;
const MOST_OF_FAMILIAR: f64 = 1.8;

/// What a family may say, in nats: at least, at most, and how much more for each token in common.
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

/// Families that say much the same, and what they may say together.
const TOGETHER: [(Family, Family, f64); 3] = [
    (Family::Credential, Family::Order, 16.0),
    (Family::Sequence, Family::Command, 9.0),
    (Family::Net, Family::Region, 4.5),
];

/// Evidence of each family, in nats.
pub(super) type Evidence = [f64; FAMILIES];

/// How often each token is seen among sources that are in no campaign so far.
#[derive(Clone, Debug)]
pub(super) struct Background {
    counts: Vec<u32>,
    totals: [u32; FAMILIES],
    distinct: [u32; FAMILIES],
    priors: Vec<f64>,
    sources: u32,
    /// Of all sources, in order.
    came: Vec<i64>,
    went: Vec<i64>,
    /// Whether groups are held against it that it does not contain.
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
            came: sorted(|source| source.came),
            went: sorted(|source| source.went),
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

    /// A source is explained otherwise.
    pub fn remove(&mut self, source: &Source) {
        self.add(source, -1);
    }

    /// It is not, after all.
    pub fn restore(&mut self, source: &Source) {
        self.add(source, 1);
    }

    /// Sources that have a token.
    pub fn count(&self, token: Token) -> u32 {
        self.counts[token as usize]
    }
}

/// Counts over the members of a group. Made once and filled anew, because it has room for every token.
#[derive(Debug)]
pub(super) struct Group {
    counts: Vec<u32>,
    touched: Vec<Token>,
    totals: [u32; FAMILIES],
    members: u32,
    /// Of the members, in order.
    came: Vec<i64>,
    went: Vec<i64>,
}

impl Group {
    pub fn of_tokens(tokens: usize) -> Self {
        Self {
            counts: vec![0; tokens],
            touched: Vec::new(),
            totals: [0; FAMILIES],
            members: 0,
            came: Vec::new(),
            went: Vec::new(),
        }
    }

    pub fn fill(&mut self, sources: &Sources, members: &[u32]) {
        for token in self.touched.drain(..) {
            self.counts[token as usize] = 0;
        }
        self.totals = [0; FAMILIES];
        self.members = members.len() as u32;
        self.came = members.iter().map(|&member| sources.all[member as usize].came).collect();
        self.went = members.iter().map(|&member| sources.all[member as usize].went).collect();
        self.came.sort_unstable();
        self.went.sort_unstable();
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

    /// Tokens of the members, each with how many members have it.
    pub fn tokens(&self) -> impl Iterator<Item = (Token, u32)> {
        self.touched.iter().map(|&token| (token, self.counts[token as usize]))
    }

    /// What speaks for a source as a member. A member is judged by the others. `trust` widens what each
    /// family may say.
    pub fn evidence(
        &self,
        background: &Background,
        source: &Source,
        is_member: bool,
        trust: f64,
    ) -> Evidence {
        let mut evidence = [0.0; FAMILIES];
        for family in Family::ALL {
            evidence[family as usize] =
                self.of_family(background, source.of(family), family, u32::from(is_member), trust);
        }
        let came = when(&self.came, &background.came, source.came, is_member);
        let Bounds(least, most, _) = bounds(Family::Time);
        let stay = came + when(&self.went, &background.went, source.went, is_member);
        let time = &mut evidence[Family::Time as usize];
        *time = time.max(stay.clamp(least * trust, most * trust));
        for (one, other, most) in TOGETHER {
            let (both, most) = (evidence[one as usize] + evidence[other as usize], most * trust);
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
        trust: f64,
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
        // What of the background is the group itself, with one who is no member: he does not speak against
        // himself either.
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
        // Tokens that only one source has do not outweigh the shared ones, however many there are.
        let sum = if per_source { speaks_for + f64::max(against, least) } else { speaks_for + against };
        sum.clamp(least * trust, (most + each * shared) * trust)
    }
}

/// Whether a time lies among those of a group and how few of all do: ln((λ + (1 − λ) p) / p) within, ln(1 −
/// λ) outside, p being the share of the others that lie within. Within is from the first to the last (of a
/// large group without its outermost), and as much further as they are apart on average. Both slices are
/// sorted; the first is part of the second.
fn when(group: &[i64], all: &[i64], time: i64, is_member: bool) -> f64 {
    let own = if is_member { group.partition_point(|&other| other < time) } else { usize::MAX };
    let trimmed = group.len() / TRIMMED;
    // Without the member itself.
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

/// What a member of a group of so many among so many sources costs, in nats: naming the group's members, ln
/// C(n, m) / m by Stirling.
pub(super) fn price(sources: usize, members: usize) -> f64 {
    (sources.max(1) as f64 / members.max(1) as f64).ln().max(0.0) + 1.0
}
