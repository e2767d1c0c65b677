//! Derives the log for scoring from a seed: its length, number of sensors and sessions, and plants.

use std::{collections::BTreeMap, fmt, str::FromStr};

use crate::generate::{Plan, cowrie::Cowrie, random::Random};

use super::{
    ground::DAY,
    log::{Planted, stream},
    wanted::{Plant, Wanted},
};

/// What is scored on a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scene {
    Campaigns,
    Longtail,
    Clean,
}

/// Everything that determines a log.
#[derive(Clone, Debug)]
pub struct Recipe {
    pub plan: Plan,
    /// End of the span (exclusive), in microseconds since 1970.
    pub end: i64,
    pub wanted: Wanted,
}

/// Mean events per session, as learnt.
const EVENTS: f64 = 6.82;

impl Recipe {
    pub fn of(scene: Scene, seed: u64) -> Self {
        let mut random = stream(seed, 2 + scene as u64);
        let (days, a_day) = match scene {
            Scene::Campaigns => (2 + random.below(13), random.between(1000.0, 5000.0)),
            Scene::Longtail => (2 + random.below(7), random.between(800.0, 2000.0)),
            Scene::Clean => (7 + random.below(8), random.between(1000.0, 4000.0)),
        };
        let plan = Plan {
            seed,
            sensors: 1 + random.below(8),
            cowrie: random.chance(0.4).then(|| *random.pick(&Cowrie::ALL[1..])),
            rate: a_day * EVENTS / 86_400.0,
            apart: true,
            ..Plan::default()
        };
        let end = plan.start + days as i64 * DAY as i64;
        Self { plan, end, wanted: Wanted(wanted(scene, &mut random)) }
    }

    /// The same log without decoys.
    pub fn without_decoys(mut self) -> Self {
        self.wanted.0.remove(&Plant::Decoys);
        self
    }

    pub fn log(&self) -> Planted {
        Planted::new(self.plan.clone(), self.end, &self.wanted)
    }
}

fn wanted(scene: Scene, random: &mut Random) -> BTreeMap<Plant, usize> {
    match scene {
        Scene::Campaigns => BTreeMap::from([
            (Plant::Snowshoe, 4 + random.below(5)),
            (Plant::Botnet, 2 + random.below(4)),
            (Plant::Intruders, random.below(6)),
            (Plant::Busy, random.below(2)),
            (Plant::Decoys, 2 + random.below(4)),
        ]),
        Scene::Longtail => BTreeMap::from([
            (Plant::Intruders, 10 + random.below(31)),
            (Plant::Payloads, 4 + random.below(17)),
            (Plant::Emerging, 1 + random.below(3)),
            (Plant::Odd, 5 + random.below(16)),
        ]),
        Scene::Clean => {
            BTreeMap::from([(Plant::Busy, 2 + random.below(4)), (Plant::Decoys, 2 + random.below(4))])
        }
    }
}

impl fmt::Display for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Campaigns => "campaigns",
            Self::Longtail => "longtail",
            Self::Clean => "clean",
        })
    }
}

impl FromStr for Scene {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Campaigns, Self::Longtail, Self::Clean]
            .into_iter()
            .find(|scene| scene.to_string() == text)
            .ok_or_else(|| format!("{text:?}: expected campaigns, longtail or clean"))
    }
}
