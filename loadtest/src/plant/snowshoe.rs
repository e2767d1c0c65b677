//! Snowshoe campaigns: many addresses, each of which is quiet.

use crate::generate::{attacker::Attacker, kind::Kind, random::Random};

use super::{
    campaign::{Draft, Malware, addresses, client, log_uniform, members, tries},
    credentials::{Credential, common, popular},
    ground::{DAY, Ground, HOUR, Visit, shuffle},
    list::List,
};

/// What ties the members together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mechanism {
    /// Each member tries the same list in the same order.
    List,
    /// One list is divided into slices, in order.
    Slices,
    /// A few guesses, and then the same commands, worded differently.
    Template,
    /// One operator schedules the members regularly.
    Rhythm,
    /// Members from the same networks, with the same tool at the same time.
    Neighbours,
}

impl Mechanism {
    const ALL: [Self; 5] = [Self::List, Self::Slices, Self::Template, Self::Rhythm, Self::Neighbours];

    fn name(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Slices => "slices",
            Self::Template => "template",
            Self::Rhythm => "rhythm",
            Self::Neighbours => "neighbours",
        }
    }
}

/// Probability of two tools.
const HYBRID: f64 = 0.25;
/// Probability that a session never reaches the sensor.
const LOST: f64 = 0.05;
/// Probability that a guess succeeds.
const RIGHT: f64 = 0.08;

struct Snowshoe {
    mechanism: Mechanism,
    /// The second half of the members loads malware, the first half guesses.
    split: bool,
    list: List,
    malware: Malware,
    attempts: usize,
    /// Most failed logins before the successful one, for members that load malware.
    most_before: usize,
    /// Number of logins assigned so far.
    dealt: usize,
    /// Each member starts at another position in the list.
    offset: bool,
    sensors: Vec<usize>,
    random: Random,
}

pub fn plant(ground: &mut Ground<'_>, number: usize) {
    let mut random = ground.stream();
    let mechanism = *random.pick(&Mechanism::ALL);
    let n = size(&mut random);
    let near = mechanism == Mechanism::Neighbours || random.chance(0.25);
    let (sources, place) = addresses(ground, n, near, &mut random);
    let hybrid = random.chance(HYBRID);
    let guesses = matches!(mechanism, Mechanism::List | Mechanism::Slices | Mechanism::Template);
    let split = hybrid && guesses && random.chance(0.5);
    let (first, name) = client(&mut random);
    let mut tools = vec![first];
    if hybrid {
        tools.push(client(&mut random).0);
    }
    let sensors = ground.some_sensors(&mut random);
    let traits = vec![name.to_owned(), place.to_owned(), format!("{} sensors", sensors.len())];
    let mut snowshoe = Snowshoe {
        mechanism,
        split,
        list: list(&mut random, mechanism),
        malware: Malware::new(&mut random),
        attempts: 1 + random.below(3),
        most_before: random.below(3),
        dealt: 0,
        offset: random.chance(0.2),
        sensors,
        random: ground.stream(),
    };
    let turns = turns(&mut random, ground, mechanism, n);
    let mut draft = Draft::new("snowshoe", number, mechanism.name().to_owned(), hybrid, traits);
    let mut members = members(ground, sources, &tools);
    let mut visits = vec![0; n];
    for (at, member) in turns {
        if random.chance(LOST) && visits[member] > 0 {
            continue;
        }
        let name = snowshoe.visit(ground, &mut members[member], member, visits[member], at);
        draft.add(&members[member].source, at, name);
        visits[member] += 1;
    }
    draft.keep(&mut ground.truth);
}

impl Snowshoe {
    fn visit(
        &mut self,
        ground: &mut Ground<'_>,
        who: &mut Attacker,
        member: usize,
        before: usize,
        at: i64,
    ) -> Option<super::truth::Name> {
        let sensor = *self.random.pick(&self.sensors);
        let loads = if self.split { member % 2 == 1 } else { self.mechanism == Mechanism::Template };
        if loads && self.random.chance(0.85) {
            let mut credentials: Vec<Credential> =
                (0..self.random.below(self.most_before + 1)).map(|_| popular(&mut self.random)).collect();
            credentials.push(if self.split {
                self.list.at(self.random.below(4))
            } else {
                common(&mut self.random)
            });
            let visit = Visit { at, sensor, kind: Kind::Download, seconds: None };
            return ground.visit(who, &visit, |script| {
                tries(script, credentials, true);
                self.malware.run(script);
            });
        }
        let credentials = (0..self.attempts)
            .map(|number| self.credential(member, before * self.attempts + number))
            .collect();
        let right = self.random.chance(RIGHT);
        let visit = Visit { at, sensor, kind: if right { Kind::Enter } else { Kind::Guess }, seconds: None };
        ground.visit(who, &visit, |script| tries(script, credentials, right))
    }

    fn credential(&mut self, member: usize, place: usize) -> Credential {
        match self.mechanism {
            Mechanism::List => self.list.at(place + if self.offset { member * 7 } else { 0 }),
            Mechanism::Slices => {
                self.dealt += 1;
                self.list.at(self.dealt - 1)
            }
            Mechanism::Rhythm => self.list.at(self.random.below(self.list.len())),
            Mechanism::Template if self.split => self.list.at(place),
            Mechanism::Template | Mechanism::Neighbours => common(&mut self.random),
        }
    }
}

fn list(random: &mut Random, mechanism: Mechanism) -> List {
    let length = match mechanism {
        Mechanism::Slices => 200 + random.below(2000),
        Mechanism::Rhythm => 10 + random.below(50),
        _ => 20 + random.below(280),
    };
    List::new(random, length)
}

/// Draws the number of members; many campaigns are small.
fn size(random: &mut Random) -> usize {
    match random.below(20) {
        0..9 => log_uniform(random, 3, 9),
        9..15 => log_uniform(random, 10, 49),
        _ => log_uniform(random, 50, 500),
    }
}

/// Draws the times of the sessions with their members, in order.
fn turns(random: &mut Random, ground: &Ground<'_>, mechanism: Mechanism, n: usize) -> Vec<(i64, usize)> {
    let whole = (ground.span.end - ground.span.start) as f64;
    let long = random.lognormal(2.5 * DAY, 0.9).clamp(8.0 * HOUR, 14.0 * DAY).min(0.95 * whole);
    let from = ground.span.start as f64 + random.unit() * (whole - long);
    let a_day = random.lognormal(2.5, 0.5).clamp(1.0, 6.0);
    let least = match n {
        ..10 => 4.0,
        10..50 => 3.0,
        _ if random.chance(0.2) => 1.0,
        _ => 2.0,
    };
    let each = (a_day * long / DAY).clamp(least, 40.0);
    let mut turns = match mechanism {
        Mechanism::Slices | Mechanism::Rhythm => {
            dealt(random, n, each, from, long, mechanism == Mechanism::Rhythm)
        }
        _ => own_pace(random, n, each, from, long),
    };
    turns.sort_unstable();
    turns
}

/// One operator's schedule, one session after the other: regular, or nearly.
fn dealt(random: &mut Random, n: usize, each: f64, from: f64, long: f64, regular: bool) -> Vec<(i64, usize)> {
    let all = (each * n as f64).ceil() as usize;
    let pause = long / all as f64;
    let jitter = if regular { random.between(0.005, 0.08) } else { random.between(0.1, 0.9) };
    let mut order: Vec<usize> = (0..n).collect();
    let mut turns = Vec::with_capacity(all);
    for turn in 0..all {
        if turn % n == 0 && (turn == 0 || !regular) {
            shuffle(&mut order, random);
        }
        turns.push(((from + pause * (turn as f64 + jitter * random.unit())) as i64, order[turn % n]));
    }
    turns
}

/// Each member on its own schedule.
fn own_pace(random: &mut Random, n: usize, each: f64, from: f64, long: f64) -> Vec<(i64, usize)> {
    let mut turns = Vec::new();
    for member in 0..n {
        let sessions = random.rounded(each).max(1);
        let mut at = from + random.unit() * long * 0.2;
        let pause = (from + long - at) / sessions as f64;
        for _ in 0..sessions {
            turns.push((at as i64, member));
            at += random.lognormal(0.85 * pause, 0.55);
        }
    }
    turns
}
