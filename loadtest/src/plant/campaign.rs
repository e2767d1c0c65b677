//! The common parts of snowshoes and botnets: members, tools, their commands, and the truth about them.

use std::{collections::BTreeSet, sync::Arc};

use crate::generate::{
    attacker::Attacker,
    random::{Random, ln},
    script::Script,
    session::{Client, Step},
};

use super::{
    credentials::Credential,
    ground::{Ground, common_client, host, rare_client, someone, unnamed_client},
    templates::Strain,
    truth::{Campaign, Name, Truth},
};

pub struct Draft {
    campaign: Campaign,
    addresses: BTreeSet<String>,
    sessions: Vec<(i64, Name)>,
}

impl Draft {
    /// Starts without members.
    pub fn new(kind: &str, number: usize, mechanism: String, hybrid: bool, traits: Vec<String>) -> Self {
        let campaign = Campaign {
            id: format!("{kind}-{number}"),
            kind: kind.to_owned(),
            mechanism,
            hybrid,
            traits,
            addresses: Vec::new(),
            sessions: Vec::new(),
            from: 0,
            to: 0,
        };
        Self { campaign, addresses: BTreeSet::new(), sessions: Vec::new() }
    }

    /// Adds a session, unless it was not planted.
    pub fn add(&mut self, source: &str, at: i64, name: Option<Name>) {
        if let Some(name) = name {
            self.addresses.insert(source.to_owned());
            self.sessions.push((at, name));
        }
    }

    /// Adds the campaign to the truth.
    pub fn keep(mut self, truth: &mut Truth) {
        self.sessions.sort();
        let (Some(first), Some(last)) = (self.sessions.first(), self.sessions.last()) else { return };
        (self.campaign.from, self.campaign.to) = (first.0, last.0);
        self.campaign.addresses = self.addresses.into_iter().collect();
        self.campaign.sessions = self.sessions.into_iter().map(|(_, name)| name).collect();
        truth.campaigns.push(self.campaign);
    }
}

/// Draws a client, mostly one that many others use. Returns its description, too.
pub fn client(random: &mut Random) -> (Client, &'static str) {
    match random.below(20) {
        0..11 => (common_client(random), "common client"),
        11..16 => (rare_client(random), "rare client"),
        _ => (unnamed_client(random), "client without hassh"),
    }
}

/// Draws addresses of members, unrelated or neighbours. Returns their description, too.
pub fn addresses(
    ground: &mut Ground<'_>,
    n: usize,
    near: bool,
    random: &mut Random,
) -> (Vec<Arc<str>>, &'static str) {
    if near {
        (ground.neighbours(n, random), "neighbours")
    } else {
        ((0..n).map(|_| ground.address()).collect(), "spread")
    }
}

/// Creates members, each with a random stream of its own.
pub fn members(ground: &mut Ground<'_>, addresses: Vec<Arc<str>>, tools: &[Client]) -> Vec<Attacker> {
    let member = |(number, source): (usize, Arc<str>)| {
        someone(ground.stream(), source, tools[number % tools.len()].clone(), "".into())
    };
    addresses.into_iter().enumerate().map(member).collect()
}

/// Draws a number from `low` to `high`. It is equally likely between 3 and 6 as between 6 and 12.
pub fn log_uniform(random: &mut Random, low: usize, high: usize) -> usize {
    let doublings = ln(high as f64 / low as f64) / std::f64::consts::LN_2;
    // Draws the doubling first and then evenly within it, because powers differ between platforms.
    let place = random.unit() * doublings;
    let from = (0..place as usize).fold(low as f64, |size, _| size * 2.0);
    ((from * (1.0 + place.fract())) as usize).clamp(low, high)
}

/// A program that the members load.
#[derive(Clone)]
pub struct Malware {
    strain: Strain,
    hosts: Vec<Arc<str>>,
    sum: Option<u64>,
}

impl Malware {
    /// Draws a new strain: on one host, on several or on one for each member; with the same file always or
    /// not.
    pub fn new(random: &mut Random) -> Self {
        let hosts = match random.below(10) {
            0..5 => 1,
            5..8 => 2 + random.below(4),
            _ => 0,
        };
        let hosts = (0..hosts).map(|_| host(random)).collect();
        let sum = random.chance(0.5).then(|| random.bits() >> 8);
        Self { strain: Strain::new(random), hosts, sum }
    }

    /// Adds its download and start, after a successful login.
    pub fn run(&self, script: &mut Script<'_>) {
        let random = &mut script.attacker.random;
        let host = if self.hosts.is_empty() { host(random) } else { random.pick(&self.hosts).clone() };
        let commands = self.strain.commands(random, &host);
        let fetched = random.chance(0.5);
        let url = format!("http://{host}/{}", super::fill::name(random));
        let sum = self.sum.unwrap_or_else(|| random.bits() >> 8);
        let last = commands.len() - 1;
        for (number, command) in commands.into_iter().enumerate() {
            let then = (number == last && command.contains("http")).then(|| {
                let url = url.clone().into();
                if fetched {
                    Step::Download { url: Some(url), destination: "".into(), sum, duplicate: false }
                } else {
                    Step::DownloadFailed { url }
                }
            });
            script.execute(command.into(), then);
        }
    }
}

/// Adds logins; `right` decides whether the last one succeeds.
pub fn tries(script: &mut Script<'_>, credentials: Vec<Credential>, right: bool) {
    let last = credentials.len().saturating_sub(1);
    for (number, (user, password)) in credentials.into_iter().enumerate() {
        script.steps.push(Step::Login { user, password, success: right && number == last });
    }
}
