//! Decoys: groups of addresses that look alike but do not act together. An analysis that reports one as a
//! campaign is wrong.

use std::collections::BTreeSet;

use crate::generate::{kind::Kind, profile::LEARNT, random::Random, session::Client};

use super::{
    campaign::{client, tries},
    credentials::{Credential, popular},
    fill::name,
    ground::{Ground, HOUR, Visit, host, someone, unnamed_client},
    templates::Strain,
    truth::Decoys,
};

/// What the addresses of a group have in common.
#[derive(Clone, Copy)]
enum Alike {
    /// They try some of the same default credentials, each at its own times.
    Guessers,
    /// Bots of one malware family: the same client and commands, but each with its own owner, host and file.
    Family,
    /// Unrelated scanners that come within the same two hours.
    Scanners,
}

pub fn plant(ground: &mut Ground<'_>) {
    let mut random = ground.stream();
    let (alike, what) = *random.pick(&[
        (Alike::Guessers, "guessers"),
        (Alike::Family, "family"),
        (Alike::Scanners, "scanners"),
    ]);
    let addresses = match alike {
        Alike::Guessers => guessers(ground, &mut random),
        Alike::Family => family(ground, &mut random),
        Alike::Scanners => scanners(ground, &mut random),
    };
    let addresses: BTreeSet<String> = addresses.into_iter().collect();
    ground.truth.decoys.push(Decoys { what: what.into(), addresses: addresses.into_iter().collect() });
}

/// A default credential: from the lists that bots try over telnet, or one of the most popular ones.
fn default(random: &mut Random) -> Credential {
    if random.chance(0.3) {
        return popular(random);
    }
    let (user, password, _) = &LEARNT.telnet[random.below(LEARNT.telnet.len())];
    (user.as_str().into(), password.as_str().into())
}

/// Start times of one source: one to `most` sessions from a random moment on.
fn turns(ground: &Ground<'_>, random: &mut Random, most: usize) -> Vec<i64> {
    let mut at = ground.moment(random) as f64;
    let pause = random.lognormal(5.0 * HOUR, 1.0);
    let sessions = 1 + random.below(most);
    let mut turns = Vec::with_capacity(sessions);
    for _ in 0..sessions {
        turns.push(at as i64);
        at += random.exponential(pause);
    }
    turns
}

fn guessers(ground: &mut Ground<'_>, random: &mut Random) -> Vec<String> {
    // Few enough that several of the group try each one, and hardly any other source of the log does.
    let known: Vec<Credential> = (0..4 + random.below(6)).map(|_| default(random)).collect();
    let mut addresses = Vec::new();
    for _ in 0..12 + random.below(40) {
        let (client, _) = client(random);
        let mut who = someone(ground.stream(), ground.address(), client, "".into());
        for at in turns(ground, random, 4) {
            let credentials: Vec<Credential> =
                (0..1 + random.below(3)).map(|_| random.pick(&known).clone()).collect();
            let right = random.chance(0.2);
            let visit = Visit {
                at,
                sensor: random.below(ground.sensors.len()),
                kind: if right { Kind::Enter } else { Kind::Guess },
                seconds: None,
            };
            if ground.visit(&mut who, &visit, |script| tries(script, credentials, right)).is_some() {
                addresses.push(who.source.to_string());
            }
        }
    }
    addresses
}

fn family(ground: &mut Ground<'_>, random: &mut Random) -> Vec<String> {
    let strain = Strain::new(random);
    let (tool, _) = client(random);
    let mut addresses = Vec::new();
    for _ in 0..10 + random.below(30) {
        let mut who = someone(ground.stream(), ground.address(), tool.clone(), host(random));
        // A name: the address ranges for documentation are too small for one host per owner.
        let (host, sum) = (format!("{}.example.net", name(random)), random.bits() >> 8);
        for at in turns(ground, random, 3) {
            let credential = default(random);
            let visit =
                Visit { at, sensor: random.below(ground.sensors.len()), kind: Kind::Download, seconds: None };
            let session = ground.visit(&mut who, &visit, |script| {
                tries(script, vec![credential], true);
                let commands = strain.commands(&mut script.attacker.random, &host);
                let last = commands.len() - 1;
                for (number, command) in commands.into_iter().enumerate() {
                    let url = format!("http://{host}/{sum:x}").into();
                    let then = (number == last).then_some(crate::generate::session::Step::Download {
                        url: Some(url),
                        destination: "".into(),
                        sum,
                        duplicate: false,
                    });
                    script.execute(command.into(), then);
                }
            });
            if session.is_some() {
                addresses.push(who.source.to_string());
            }
        }
    }
    addresses
}

fn scanners(ground: &mut Ground<'_>, random: &mut Random) -> Vec<String> {
    let from = ground.moment(random);
    let mut addresses = Vec::new();
    for _ in 0..8 + random.below(30) {
        let tool: Client = if random.chance(0.5) { unnamed_client(random) } else { client(random).0 };
        let mut who = someone(ground.stream(), ground.address(), tool, "".into());
        for _ in 0..1 + random.below(3) {
            let at = from + (2.0 * HOUR * random.unit()) as i64;
            let guesses = random.chance(0.3);
            let credentials: Vec<Credential> = if guesses { vec![popular(random)] } else { Vec::new() };
            let kind = if guesses { Kind::Guess } else { Kind::Banner };
            let visit = Visit { at, sensor: random.below(ground.sensors.len()), kind, seconds: None };
            if ground.visit(&mut who, &visit, |script| tries(script, credentials, false)).is_some() {
                addresses.push(who.source.to_string());
            }
        }
    }
    addresses
}
