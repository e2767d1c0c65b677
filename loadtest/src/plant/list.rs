//! A list of credentials that a tool tries in order.

use std::collections::HashSet;

use crate::generate::random::Random;

use super::credentials::{Credential, common, common_password, own_password, user};

/// In the order of use.
#[derive(Clone, Debug)]
pub struct List(Vec<Credential>);

impl List {
    /// Draws a list of about `length` credentials. The share of common credentials differs between lists.
    pub fn new(random: &mut Random, length: usize) -> Self {
        let own = *random.pick(&[0.0, 0.1, 0.25, 0.5]);
        let mut credentials = match random.below(4) {
            0 => for_root(random, length, own),
            1 => pairs(random, length, own),
            2 => sprayed(random, length),
            _ => names(random, length),
        };
        let mut seen = HashSet::new();
        credentials.retain(|credential| seen.insert(credential.clone()));
        Self(credentials)
    }

    /// The credential at a position; after the end, the list starts again.
    pub fn at(&self, place: usize) -> Credential {
        self.0[place % self.0.len()].clone()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }
}

fn for_root(random: &mut Random, length: usize, own: f64) -> Vec<Credential> {
    let password =
        |random: &mut Random| if random.chance(own) { own_password(random) } else { common_password(random) };
    (0..length).map(|_| ("root".into(), password(random))).collect()
}

fn pairs(random: &mut Random, length: usize, own: f64) -> Vec<Credential> {
    (0..length)
        .map(|_| {
            if random.chance(own) {
                (user(random), own_password(random))
            } else if random.chance(0.6) {
                common(random)
            } else {
                (user(random), common_password(random))
            }
        })
        .collect()
}

/// Password spraying: all names in alphabetical order with one password, then the next password.
fn sprayed(random: &mut Random, length: usize) -> Vec<Credential> {
    let mut users: Vec<_> = (0..length.clamp(8, 60)).map(|_| user(random)).collect();
    users.sort();
    users.dedup();
    let mut credentials = Vec::new();
    while credentials.len() < length {
        let password = if random.chance(0.3) { own_password(random) } else { common_password(random) };
        credentials.extend(users.iter().map(|user| (user.clone(), password.clone())));
    }
    credentials.truncate(length);
    credentials
}

/// Each name as its own password, and with a number appended.
fn names(random: &mut Random, length: usize) -> Vec<Credential> {
    let ending = *random.pick(&["123", "1", "1234", "@123", "2024"]);
    let mut credentials = Vec::new();
    let mut users: Vec<_> = (0..length.clamp(8, 80)).map(|_| user(random)).collect();
    users.sort();
    users.dedup();
    for user in users {
        credentials.push((user.clone(), user.clone()));
        credentials.push((user.clone(), format!("{user}{ending}").into()));
    }
    credentials.truncate(length.max(8));
    credentials
}
