//! Seeds: small groups of sources that share a token which few others have. [`super::grow`] starts from them.

use std::collections::{HashMap, HashSet};

use super::{
    grow::Search,
    source::{Family, Token},
};

/// Most sources of a seed.
const SAMPLE: usize = 64;
/// Sizes of the seeds that a source and its nearest neighbours form. Tokens that more than one in
/// [`FREQUENT`] sources have do not make neighbours.
const NEIGHBOURS: [usize; 2] = [2, 4];
const FREQUENT: usize = 50;
/// Holders of a frequent token with the same client are a seed when there are this many times as many as
/// expected. If most sources have that client, twice as many is impossible, and half of the possible increase
/// is enough.
const CLIENT_LIFT: f64 = 2.0;

impl Search<'_> {
    /// Returns groups that share a token which few others have. Each group is sorted and returned once.
    pub fn seeds(&self) -> Vec<Vec<u32>> {
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
                    | Family::Target
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

    /// Returns each source with its nearest neighbours: those that share the most rare tokens with it.
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

    /// Returns the holders of a token that have the same client, if there are more of them than expected.
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
        groups.retain(|(client, group)| {
            let possible = all / f64::from(self.background.count(*client)).max(1.0);
            let enough = CLIENT_LIFT.min(f64::midpoint(1.0, possible));
            group.len() >= 3 && group.len() as f64 >= enough * expected(*client)
        });
        groups.into_iter().map(|(_, group)| group).collect()
    }
}

/// Returns at most `most` elements, evenly spaced.
pub(super) fn thinned<T: Copy>(all: &[T], most: usize) -> Vec<T> {
    if all.len() <= most { all.to_vec() } else { (0..most).map(|n| all[n * all.len() / most]).collect() }
}
