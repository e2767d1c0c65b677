//! A log with plants: lines of the background and of the planted sessions, ordered by time.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    iter::Peekable,
};

use crate::generate::{Busy, Generator, Made, Plan, Sensor, line::line, random::Random, session::Session};

use super::{
    botnet, busy, decoys, emerging,
    ground::Ground,
    intruders, odd, payloads, snowshoe,
    truth::Truth,
    wanted::{Plant, Wanted},
};

/// An endless log with plants, which end.
pub struct Planted {
    background: Peekable<Generator>,
    sensors: Vec<Sensor>,
    sessions: Vec<Session>,
    turns: BinaryHeap<Reverse<(i64, usize)>>,
    truth: Truth,
}

impl Planted {
    /// Plants what is wanted in the log of a plan from its start to `end`, in microseconds since 1970.
    pub fn new(mut plan: Plan, end: i64, wanted: &Wanted) -> Self {
        let days = busy::days(&plan, end, wanted.of(Plant::Busy));
        plan.busy.extend(days.iter().map(|(span, factor)| Busy { span: span.clone(), factor: *factor }));
        let background = Generator::new(plan.clone());
        let sensors = background.sensors().to_vec();
        let mut ground = Ground::new(&plan, &sensors, end);
        for (span, _) in days {
            busy::crowd(&mut ground, span);
        }
        let many = |plant| 1..=wanted.of(plant);
        many(Plant::Snowshoe).for_each(|number| snowshoe::plant(&mut ground, number));
        many(Plant::Botnet).for_each(|number| botnet::plant(&mut ground, number));
        many(Plant::Emerging).for_each(|number| emerging::plant(&mut ground, number));
        many(Plant::Intruders).for_each(|_| intruders::plant(&mut ground));
        many(Plant::Payloads).for_each(|_| payloads::plant(&mut ground));
        many(Plant::Odd).for_each(|_| odd::plant(&mut ground));
        // Last, so that decoys do not change the other plants.
        many(Plant::Decoys).for_each(|_| decoys::plant(&mut ground));
        let Ground { sessions, mut truth, .. } = ground;
        truth.anomalies.sort();
        let turns = sessions
            .iter()
            .enumerate()
            .filter_map(|(number, session)| Some(Reverse((session.at()?, number))))
            .collect();
        Self { background: background.peekable(), sensors, sessions, turns, truth }
    }

    pub fn nothing(plan: Plan) -> Self {
        Self::new(plan, i64::MAX, &Wanted::default())
    }

    /// In the order of [`Made::sensor`].
    pub fn sensors(&self) -> &[Sensor] {
        &self.sensors
    }

    /// What was planted. All planted sessions begin before the given end; their last lines may come after it.
    pub fn truth(&self) -> &Truth {
        &self.truth
    }
}

impl Iterator for Planted {
    type Item = Made;

    fn next(&mut self) -> Option<Made> {
        let planted = self.turns.peek().map(|Reverse(turn)| turn.0);
        let background = self.background.peek().map(|made| made.at_micros);
        if planted.is_none_or(|planted| background.is_some_and(|background| background <= planted)) {
            return self.background.next();
        }
        let Reverse((at, number)) = self.turns.pop()?;
        let session = &mut self.sessions[number];
        let made = Made {
            sensor: session.sensor,
            at_micros: at,
            line: line(&self.sensors[session.sensor], session, &session.steps[session.next].1, at),
        };
        session.next += 1;
        self.turns.extend(session.at().map(|next| Reverse((next, number))));
        Some(made)
    }
}

/// Numbers of each kind and mechanism.
pub fn counts(truth: &Truth) -> BTreeMap<String, usize> {
    let campaigns =
        truth.campaigns.iter().map(|campaign| format!("{} {}", campaign.kind, campaign.mechanism));
    let mut counts = BTreeMap::new();
    let decoys = truth.decoys.iter().map(|decoys| format!("decoys {}", decoys.what));
    for name in campaigns.chain(truth.anomalies.iter().map(|anomaly| anomaly.class.clone())).chain(decoys) {
        *counts.entry(name).or_insert(0) += 1;
    }
    counts
}

/// The random stream that decides about days.
pub fn stream(seed: u64, of: u64) -> Random {
    Random::new(seed ^ 0x5851_f42d_4c95_7f2d, of)
}
