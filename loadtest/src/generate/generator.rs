//! Generates the log of a plan: attackers arrive and make sessions, and the events of all sessions are merged
//! by time.
//!
//! **Invariant**: the same plan gives the same lines. Memory holds only the active attackers and the open
//! sessions.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
};

use super::{
    attacker::{Addresses, Attacker, Origin},
    cowrie::Cowrie,
    json::hex,
    kind::Profile,
    line::{Sensor, line},
    places::{Place, Places},
    plan::Plan,
    profile::LEARNT,
    random::{Random, Weights},
    script::script,
    session::{Session, Step},
};

/// A line, with its file and its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Index of the sensor in the plan.
    pub sensor: usize,
    /// Its time, in microseconds since 1970.
    pub at_micros: i64,
    /// Without a newline.
    pub line: Vec<u8>,
}

#[derive(Debug)]
pub struct Generator {
    plan: Plan,
    sensors: Vec<Sensor>,
    numbers: Vec<u32>,
    random: Random,
    addresses: Addresses,
    profiles: Vec<Profile>,
    weights: Weights,
    places: Places,
    arrivals: u64,
    /// Mean microseconds between arrivals of attackers.
    pause: f64,
    turns: BinaryHeap<Reverse<Turn>>,
    turn: u64,
}

#[derive(Debug)]
struct Turn {
    at: i64,
    number: u64,
    whose: Whose,
}

#[derive(Debug)]
enum Whose {
    Arrival,
    Attacker(Box<Attacker>),
    Session(Box<Session>),
}

/// How long before the start of the log attackers begin to arrive, in microseconds.
const BEFORE: f64 = 2.0 * 3600.0 * 1e6;
/// Most attackers that arrive before the start.
const MOST_BEFORE: f64 = 100_000.0;
/// Attackers with at least this many sessions draw their clients from a sequence of their own, because their
/// clients weigh more in the statistics.
const HEAVY: usize = 20;
const DAY: i64 = 86_400_000_000;

impl Generator {
    /// Starts at the first line. A plan has at least one sensor and a rate above 0.
    pub fn new(plan: Plan) -> Self {
        let mut random = Random::new(plan.seed, 0);
        let sensors: Vec<Sensor> = (0..plan.sensors.max(1)).map(|i| sensor(&plan, i)).collect();
        let factor = |profile: &Profile| plan.weights.get(profile).copied().unwrap_or(1.0);
        let shares: Vec<f64> = Profile::ALL
            .iter()
            .map(|profile| LEARNT.statistics.profile_shares[profile] * factor(profile))
            .collect();
        let sessions: Vec<f64> =
            Profile::ALL.iter().map(|profile| LEARNT.sources[profile].sessions.mean()).collect();
        let attackers: Vec<f64> =
            shares.iter().zip(&sessions).map(|(share, sessions)| share / sessions).collect();
        let events: f64 =
            shares.iter().zip(Profile::ALL).map(|(share, profile)| share * events_of(profile)).sum();
        let pause = events / attackers.iter().sum::<f64>() / plan.rate.max(1e-6) * 1e6;
        let before = BEFORE.min(pause * MOST_BEFORE) as i64;
        let mut generator = Self {
            numbers: vec![0; sensors.len()],
            addresses: Addresses::new(plan.seed),
            places: Places::default(),
            profiles: Profile::ALL.to_vec(),
            weights: Weights::new(attackers),
            arrivals: 0,
            turns: BinaryHeap::new(),
            turn: 0,
            sensors,
            pause,
            random: random.clone(),
            plan,
        };
        generator.push(generator.plan.start - before + random.exponential(pause) as i64, Whose::Arrival);
        generator
    }

    /// In the order of [`Made::sensor`].
    pub fn sensors(&self) -> &[Sensor] {
        &self.sensors
    }

    fn push(&mut self, at: i64, whose: Whose) {
        self.turn += 1;
        self.turns.push(Reverse(Turn { at, number: self.turn, whose }));
    }

    fn place(&mut self, of: Place) -> f64 {
        self.places.next(of, &mut self.random)
    }

    /// Adds an attacker, and schedules the arrival of the next one.
    fn arrive(&mut self, at: i64) {
        let profile_place = self.place(Place::Profile);
        let profile = self.profiles[self.weights.at(profile_place)];
        let place = self.place(Place::Sessions(profile));
        let sessions = LEARNT.sources[&profile].sessions.number(place, &mut self.random);
        let origin = Origin {
            source: self.addresses.take(),
            client: self.place(Place::Client(profile, sessions >= HEAVY)),
            sensors: self.sensors.len(),
            apart: self.plan.apart,
        };
        let attacker = Attacker::new(self.plan.seed, self.arrivals, profile, sessions, origin);
        self.arrivals += 1;
        let next = at + (self.random.exponential(self.pause) / (rhythm(at) * self.plan.factor(at))) as i64;
        self.push(next.max(at + 1), Whose::Arrival);
        self.push(at, Whose::Attacker(Box::new(attacker)));
    }

    /// Begins the attacker's next session, and schedules the one after it.
    fn attack(&mut self, mut attacker: Box<Attacker>, at: i64) {
        let sensor = attacker.only.unwrap_or_else(|| attacker.random.below(self.sensors.len()));
        let cowrie = self.sensors[sensor].cowrie;
        let telnet = attacker.profile == Profile::Mirai;
        let kind = attacker.kind(cowrie == Cowrie::V1_3);
        let table = LEARNT.kind(kind, telnet).expect("kinds are drawn from the learnt ones");
        let (duration, repeats) =
            (self.place(Place::Duration(kind, telnet)), self.place(Place::Repeats(kind, telnet)));
        let seconds = table.duration.at(duration).max(0.001);
        // Before the start, only sessions that last until after it matter.
        if at + (seconds * 1e6) as i64 > self.plan.start {
            let repeats = table.repeats.number(repeats, &mut attacker.random);
            let mut session = Session {
                sensor,
                id: hex(attacker.random.bits(), 12),
                source: attacker.source.clone(),
                port: 1024 + attacker.random.below(64_000) as u16,
                telnet,
                client: attacker.client.clone(),
                number: self.numbers[sensor],
                started: at,
                steps: timed(script(&mut attacker, cowrie, table, repeats), seconds, &mut attacker.random),
                next: 0,
            };
            self.numbers[sensor] += 1;
            session.part();
            session.not_before(self.plan.start, &mut attacker.random);
            self.push(session.started, Whose::Session(Box::new(session)));
        }
        attacker.left -= 1;
        if attacker.left > 0 {
            let next = at + attacker.pause();
            self.push(next, Whose::Attacker(attacker));
        }
    }
}

impl Iterator for Generator {
    type Item = Made;

    fn next(&mut self) -> Option<Made> {
        loop {
            let Reverse(Turn { at, whose, .. }) = self.turns.pop()?;
            match whose {
                Whose::Arrival => self.arrive(at),
                Whose::Attacker(attacker) => self.attack(attacker, at),
                Whose::Session(mut session) => {
                    let made = Made {
                        sensor: session.sensor,
                        at_micros: at,
                        line: line(
                            &self.sensors[session.sensor],
                            &session,
                            &session.steps[session.next].1,
                            at,
                        ),
                    };
                    session.next += 1;
                    if let Some(next) = session.at() {
                        self.push(next, Whose::Session(session));
                    }
                    return Some(made);
                }
            }
        }
    }
}

fn events_of(profile: Profile) -> f64 {
    let tables = || LEARNT.kinds.iter().filter(|table| Profile::of(table.kind, table.telnet) == profile);
    let share: f64 = tables().map(|table| table.share).sum();
    tables()
        .map(|table| table.share * table.means.values().map(|&mean| f64::from(mean)).sum::<f64>())
        .sum::<f64>()
        / share
}

/// Slightly more by day than by night (UTC); 1 on average.
fn rhythm(at: i64) -> f64 {
    let of_day = at.rem_euclid(DAY) as f64 / DAY as f64;
    0.8 + 0.8 * (0.5 - (of_day - 0.55).abs()).clamp(0.0, 0.5)
}

fn sensor(plan: &Plan, i: usize) -> Sensor {
    let cowrie = plan.cowrie.unwrap_or(Cowrie::ALL[(i * 5 + 2) % Cowrie::ALL.len()]);
    let digits = hex(plan.seed ^ (i as u64 + 1), 32);
    let uuid = format!("{}-{}-11f1-{}-{}", &digits[..8], &digits[8..12], &digits[12..16], &digits[16..28]);
    Sensor {
        name: format!("sensor-{:02}", i + 1),
        cowrie,
        uuid,
        address: format!("10.{}.{}.5", i / 250, i % 250),
    }
}

/// Assigns times to the steps: greeting and end at their places, all others at random times in order.
pub(crate) fn timed(steps: Vec<Step>, seconds: f64, random: &mut Random) -> Vec<(i64, Step)> {
    let whole = (seconds * 1e6) as i64;
    let greeting = |step: &Step| {
        matches!(step, Step::Connect | Step::Version | Step::Kex | Step::ServerKex | Step::Option { .. })
    };
    let greeted = (whole / 5).min(400_000);
    let mut between: Vec<i64> = steps
        .iter()
        .map(|step| {
            if greeting(step) {
                random.below(greeted.max(1) as usize) as i64
            } else {
                greeted + random.below((whole - greeted) as usize) as i64
            }
        })
        .collect();
    between.sort_unstable();
    if let (Some(first), Some(last)) = (between.first().copied(), between.last_mut()) {
        *last = whole;
        debug_assert!(first <= whole);
    }
    if let Some(first) = between.first_mut() {
        *first = 0;
    }
    let mut timed: Vec<(i64, Step)> = between.into_iter().zip(steps).collect();
    let mut opened = 0;
    for (at, step) in &mut timed {
        match step {
            Step::Params { .. } | Step::LogOpen { .. } => opened = *at,
            Step::LogClosed { seconds, .. } => *seconds = (*at - opened) as f64 / 1e6,
            _ => (),
        }
    }
    timed
}

impl Ord for Turn {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl PartialOrd for Turn {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Turn {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Turn {}
