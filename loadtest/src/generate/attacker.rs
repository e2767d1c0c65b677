//! An attacker: an address, a tool, a pace; it makes sessions.

use std::sync::Arc;

use super::{
    kind::{Kind, Profile},
    profile::LEARNT,
    random::{Random, Weights},
    session::{Client, Text},
    tables::TABLES,
};

/// One address and whoever is behind it.
#[derive(Debug)]
pub struct Attacker {
    /// Its own stream of random numbers: what others do changes nothing about it.
    pub random: Random,
    /// What it does.
    pub profile: Profile,
    /// Where it comes from.
    pub source: Arc<str>,
    /// What it connects with.
    pub client: Client,
    /// The SSH key it offers or leaves.
    pub key: u64,
    /// The host it loads from.
    pub host: Arc<str>,
    /// Sessions it has yet to make.
    pub left: usize,
    /// The sensor it attacks, unless it attacks all.
    pub only: Option<usize>,
    /// Mean seconds from one of its sessions to the next.
    pub pace: f64,
    /// Its key, host and files are nobody else's.
    pub apart: bool,
}

/// What is given to an attacker.
#[derive(Debug)]
pub struct Origin {
    /// Where it comes from.
    pub source: Arc<str>,
    /// The place of its client in the tables, from 0 to below 1.
    pub client: f64,
    /// How many sensors there are.
    pub sensors: usize,
    /// Its key, host and files are nobody else's.
    pub apart: bool,
}

/// A client whose algorithms were not logged: what only 2017 saw.
const UNNAMED: f64 = 0.12;
/// Not one sensor but all.
const SWEEPS: f64 = 0.4;
/// Sessions from which on an attacker attacks all.
const MANY: usize = 40;
/// Seconds from session to session of the fast ones, and of the slow ones.
const FAST: f64 = 2.5;
const SLOW: f64 = 25.0;
/// The longest that an attacker is at it, in seconds.
const LONGEST: f64 = 6.0 * 3600.0;

/// The next session comes at once, and how soon that is, as a part of the mean.
const VOLLEY: f64 = 0.7;
const TOGETHER: f64 = 0.02;

impl Attacker {
    /// With the number of its stream; the sessions it makes are given.
    pub fn new(seed: u64, number: u64, profile: Profile, sessions: usize, origin: Origin) -> Self {
        let mut random = Random::new(seed, number + 1);
        let left = sessions.max(1);
        let median = if random.chance(0.6) { FAST } else { SLOW };
        let pace = random.lognormal(median, 1.0).min(LONGEST / left as f64);
        Self {
            profile,
            client: client(&mut random, profile, origin.client),
            source: origin.source,
            key: random.bits(),
            host: if origin.apart { own_host(&mut random) } else { host(&mut random) },
            left,
            only: (left < MANY && !random.chance(SWEEPS)).then(|| random.below(origin.sensors)),
            pace,
            apart: origin.apart,
            random,
        }
    }

    /// Microseconds to its next session: tools open several at once, then wait.
    pub fn pause(&mut self) -> i64 {
        let mean = if self.random.chance(VOLLEY) {
            self.pace * TOGETHER
        } else {
            self.pace * (1.0 - VOLLEY * TOGETHER) / (1.0 - VOLLEY)
        };
        (self.random.exponential(mean) * 1e6) as i64
    }

    /// Its own, or one of so many that attackers share.
    pub fn of_pool(&self, many: u64) -> u64 {
        if self.apart { self.key >> 8 } else { self.key % many }
    }

    /// What its next session is for.
    pub fn kind(&mut self, old: bool) -> Kind {
        let (kinds, weights) = &TABLES.kinds[&(self.profile, old)];
        kinds[weights.draw(&mut self.random)]
    }

    /// What it tries next.
    pub fn credential(&mut self) -> (Text, Text) {
        let random = &mut self.random;
        if self.profile == Profile::Mirai {
            let (user, password, _) = &LEARNT.telnet[TABLES.telnet.draw(random)];
            return (user.as_str().into(), password.as_str().into());
        }
        if random.chance(0.48) {
            let (user, password, _) = &LEARNT.credentials[TABLES.credentials.draw(random)];
            return (user.as_str().into(), password.as_str().into());
        }
        let user = &LEARNT.usernames[TABLES.usernames.draw(random)].0;
        let password: Text = match random.below(10) {
            0..4 => LEARNT.passwords[TABLES.passwords.draw(random)].0.as_str().into(),
            4 => format!("{user}{}", random.below(10_000)).into(),
            5 => format!("{user}@{}", 2000 + random.below(30)).into(),
            _ => uncommon(random).into(),
        };
        (user.as_str().into(), password)
    }
}

/// From the end of a long list, with what real lists hold: other alphabets, control characters.
fn uncommon(random: &mut Random) -> String {
    let word = &LEARNT.passwords[TABLES.passwords.draw(random)].0;
    match random.below(200) {
        0 => format!("{word}\u{1f600}"),
        1 => format!("{word}\u{a7}"),
        2 => format!("{word}\r"),
        3 => "b'\\xcc\\xd1'".to_owned(),
        4 => format!("{word}\\{}", random.below(100)),
        5 => format!("{word}\"{}", random.below(100)),
        _ => format!("{word}{}{}", ["!", "_", ".", "#", "", "@"][random.below(6)], random.below(1_000_000)),
    }
}

fn client(random: &mut Random, profile: Profile, place: f64) -> Client {
    let weights = match profile {
        Profile::Scanner => &TABLES.scanners,
        Profile::Human => &TABLES.humans,
        _ => &TABLES.tools,
    };
    if profile == Profile::Scanner && random.chance(0.8) {
        return Client::Other(banner(random, place));
    }
    if profile != Profile::Human && random.chance(UNNAMED) {
        return Client::Other(LEARNT.versions[TABLES.clients.at(place)].0.as_str().into());
    }
    Client::Ssh(&LEARNT.tools[weights.at(place)])
}

/// What is sent to a port of which it is not known what listens.
fn banner(random: &mut Random, place: f64) -> Text {
    match random.below(40) {
        0 => "\u{16}\u{3}\u{1}\0{\u{1}\0\0w\u{3}\u{3}\\xe0\u{7f}".into(),
        1 => "\u{3}\0\0/*\\xe0\0\0\0\0\0Cookie: mstshash=Administr".into(),
        2 => "".into(),
        3 => "MGLNDD_192.0.2.10_2222".into(),
        _ => LEARNT.versions[TABLES.versions.at(place)].0.as_str().into(),
    }
}

/// Documentation addresses and names only: nothing is fetched from anywhere real.
fn host(random: &mut Random) -> Arc<str> {
    match random.below(5) {
        0 => format!("cdn{}.example.net", random.below(40)).into(),
        1 => format!("203.0.113.{}", 1 + random.below(254)).into(),
        _ => format!("198.51.100.{}", 1 + random.below(254)).into(),
    }
}

/// Nobody else's, and of documentation as well.
fn own_host(random: &mut Random) -> Arc<str> {
    format!("{}.example.{}", super::json::hex(random.bits(), 8), random.pick(&["net", "org", "com"])).into()
}

/// Where attackers come from: mostly one address of a network, sometimes several.
#[derive(Debug)]
pub struct Addresses {
    random: Random,
    networks: Vec<[u8; 3]>,
}

/// A new address is from a network that had one before; it is IPv6.
const NEIGHBOUR: f64 = 0.12;
const IPV6: f64 = 0.008;
/// Networks that are remembered.
const NETWORKS: usize = 512;

impl Addresses {
    /// Of a seed.
    pub fn new(seed: u64) -> Self {
        Self { random: Random::new(seed, u64::MAX), networks: Vec::new() }
    }

    /// One more.
    pub fn take(&mut self) -> Arc<str> {
        let random = &mut self.random;
        if random.chance(IPV6) {
            let bits = random.bits();
            return format!(
                "2a0{:x}:{:x}:{:x}::{:x}",
                bits & 15,
                bits >> 4 & 0xfff | 0x1000,
                bits >> 16 & 0xff | 0x100,
                bits >> 32 & 0xffff | 1
            )
            .into();
        }
        if self.networks.is_empty() || !random.chance(NEIGHBOUR) {
            let network = network(random);
            if self.networks.len() < NETWORKS {
                self.networks.push(network);
            } else {
                *self.networks.get_mut(random.below(NETWORKS)).expect("the list is full") = network;
            }
            return format!("{}.{}.{}.{}", network[0], network[1], network[2], 1 + random.below(254)).into();
        }
        let [a, b, c] = *random.pick(&self.networks);
        format!("{a}.{b}.{c}.{}", 1 + random.below(254)).into()
    }
}

/// A public /24.
pub(crate) fn network(random: &mut Random) -> [u8; 3] {
    loop {
        let [a, b, c] = [0, 8, 16].map(|shift| (random.bits() >> shift) as u8);
        let reserved = matches!(
            (a, b),
            (0 | 10 | 127 | 224..=255, _)
                | (100, 64..128)
                | (169, 254)
                | (172, 16..32)
                | (192, 0 | 88 | 168)
                | (198, 18 | 19 | 51)
                | (203, 0)
        );
        if !reserved {
            return [a, b, c];
        }
    }
}

impl Weights {
    /// Of counts.
    pub fn counted(counts: impl IntoIterator<Item = u32>) -> Self {
        Self::new(counts.into_iter().map(f64::from))
    }
}
