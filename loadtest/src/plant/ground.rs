//! The log that plants are added to: its sensors and span, with random streams and addresses of their own.

use std::{collections::HashSet, ops::Range, sync::Arc};

use crate::generate::{
    Plan, Sensor,
    attacker::{Addresses, Attacker, network},
    cowrie::Cowrie,
    generator::timed,
    json::hex,
    kind::{Kind, Profile},
    profile::LEARNT,
    random::Random,
    script::Script,
    session::{Client, Session},
    tables::TABLES,
};

use super::truth::{Name, Truth};

/// Microseconds.
pub const HOUR: f64 = 3_600e6;
/// Microseconds.
pub const DAY: f64 = 86_400e6;

/// Offset of the streams of plants, so that they differ from those of the background.
const PLANTED: u64 = 0x91e1_0da5_c79e_7b1d;

/// The log that plants are added to.
pub struct Ground<'a> {
    pub sensors: &'a [Sensor],
    /// Span of the log, in microseconds since 1970.
    pub span: Range<i64>,
    pub sessions: Vec<Session>,
    /// The truth about the planted sessions.
    pub truth: Truth,
    seed: u64,
    streams: u64,
    addresses: Addresses,
    taken: HashSet<Arc<str>>,
}

pub struct Visit {
    /// When it begins, in microseconds since 1970.
    pub at: i64,
    pub sensor: usize,
    /// Kind of the session; its learnt durations apply.
    pub kind: Kind,
    /// Duration in seconds, instead of a learnt one.
    pub seconds: Option<f64>,
}

impl<'a> Ground<'a> {
    pub fn new(plan: &Plan, sensors: &'a [Sensor], end: i64) -> Self {
        let seed = plan.seed ^ PLANTED;
        Self {
            sensors,
            span: plan.start..end,
            sessions: Vec::new(),
            truth: Truth { seed: plan.seed, start: plan.start, end, ..Truth::default() },
            seed,
            streams: 0,
            addresses: Addresses::new(seed),
            taken: HashSet::new(),
        }
    }

    /// A random stream that is independent of all others.
    pub fn stream(&mut self) -> Random {
        self.streams += 1;
        Random::new(self.seed, self.streams << 20)
    }

    /// An address that no other plant has.
    pub fn address(&mut self) -> Arc<str> {
        loop {
            let address = self.addresses.take();
            if self.taken.insert(address.clone()) {
                return address;
            }
        }
    }

    /// Addresses from a few networks of 256.
    pub fn neighbours(&mut self, n: usize, random: &mut Random) -> Vec<Arc<str>> {
        let networks: Vec<[u8; 3]> = (0..1 + n / 60 + random.below(2)).map(|_| network(random)).collect();
        let mut found = Vec::with_capacity(n);
        while found.len() < n {
            let [a, b, c] = *random.pick(&networks);
            let address: Arc<str> = format!("{a}.{b}.{c}.{}", 1 + random.below(254)).into();
            if self.taken.insert(address.clone()) {
                found.push(address);
            }
        }
        found
    }

    /// A random subset of the sensors.
    pub fn some_sensors(&self, random: &mut Random) -> Vec<usize> {
        let mut sensors: Vec<usize> = (0..self.sensors.len()).collect();
        shuffle(&mut sensors, random);
        let wanted = if random.chance(0.35) { 1 } else { 1 + random.below(sensors.len()) };
        sensors.truncate(wanted);
        sensors
    }

    pub fn cowrie(&self, sensor: usize) -> Cowrie {
        self.sensors[sensor].cowrie
    }

    /// A random time in the span.
    pub fn moment(&self, random: &mut Random) -> i64 {
        self.span.start + (random.unit() * (self.span.end - self.span.start) as f64) as i64
    }

    /// Plants a session whose steps `write` adds. Returns `None` when it would begin outside the log.
    pub fn visit(
        &mut self,
        who: &mut Attacker,
        visit: &Visit,
        write: impl FnOnce(&mut Script<'_>),
    ) -> Option<Name> {
        if !self.span.contains(&visit.at) {
            return None;
        }
        let table = LEARNT.kind(visit.kind, false)?;
        let cowrie = self.cowrie(visit.sensor);
        let seconds = visit.seconds.unwrap_or_else(|| table.duration.at(who.random.unit())).max(0.001);
        let mut script = Script::of(who, cowrie, table);
        write(&mut script);
        let steps = script.end();
        let id = hex(who.random.bits(), 12);
        let mut session = Session {
            sensor: visit.sensor,
            id: id.clone(),
            source: who.source.clone(),
            port: 1024 + who.random.below(64_000) as u16,
            telnet: false,
            client: who.client.clone(),
            number: who.random.below(100_000) as u32,
            started: visit.at,
            steps: timed(steps, seconds, &mut who.random),
            next: 0,
        };
        session.part();
        self.sessions.push(session);
        Some((self.sensors[visit.sensor].name.clone(), id))
    }
}

/// An attacker with its own random stream.
pub fn someone(mut random: Random, source: Arc<str>, client: Client, host: Arc<str>) -> Attacker {
    Attacker {
        profile: Profile::BruteForcer,
        source,
        client,
        key: random.bits(),
        host,
        left: 1,
        only: None,
        pace: 0.0,
        apart: true,
        random,
    }
}

pub fn shuffle<T>(items: &mut [T], random: &mut Random) {
    for last in (1..items.len()).rev() {
        items.swap(last, random.below(last + 1));
    }
}

/// A client that many use.
pub fn common_client(random: &mut Random) -> Client {
    Client::Ssh(&LEARNT.tools[TABLES.tools.draw(random)])
}

/// A client that few use.
pub fn rare_client(random: &mut Random) -> Client {
    let rare: Vec<_> = LEARNT.tools.iter().filter(|tool| tool.n < 100).collect();
    Client::Ssh(random.pick::<&crate::generate::profile::Tool>(&rare))
}

/// A client whose algorithms were not logged.
pub fn unnamed_client(random: &mut Random) -> Client {
    Client::Other(LEARNT.versions[TABLES.clients.draw(random)].0.as_str().into())
}

/// A host name reserved for documentation: nothing is fetched from a real host.
pub fn host(random: &mut Random) -> Arc<str> {
    match random.below(4) {
        0 => format!("{}.example.{}", hex(random.bits(), 6), random.pick(&["net", "org", "com"])).into(),
        1 => format!("203.0.113.{}", 1 + random.below(254)).into(),
        2 => format!("192.0.2.{}", 1 + random.below(254)).into(),
        _ => format!("198.51.100.{}", 1 + random.below(254)).into(),
    }
}
