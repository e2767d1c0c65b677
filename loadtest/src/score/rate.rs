//! The most common rule: a source with ten attempts in ten minutes.

use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
};

use analysis::Data;

use super::ours::Group;

const ATTEMPTS: usize = 10;
const WITHIN: i64 = 600_000_000;

/// Returns the sources over the limit. Logins count at the start of their session; a session without logins
/// counts as one attempt.
pub fn over(data: &Data) -> Group {
    let mut recent: BTreeMap<IpAddr, VecDeque<(i64, usize)>> = BTreeMap::new();
    let mut over = Group::new();
    for session in &data.sessions {
        let Some(source) = session.source else { continue };
        let attempts = recent.entry(source).or_default();
        attempts.push_back((session.started, data.logins(session).len().max(1)));
        while attempts.front().is_some_and(|(at, _)| session.started - at > WITHIN) {
            attempts.pop_front();
        }
        if attempts.iter().map(|(_, n)| n).sum::<usize>() >= ATTEMPTS {
            over.insert(source);
        }
    }
    over
}
