//! An attacker: an address with a tool and a pace that makes sessions.

use std::sync::Arc;

use super::{
    kind::{Kind, Profile},
    profile::LEARNT,
    random::{Random, Weights},
    session::{Client, Text},
    tables::TABLES,
};

/// The attacker behind one address.
#[derive(Debug)]
pub struct Attacker {
    /// Its own stream of random numbers, so that other attackers do not influence it.
    pub random: Random,
    /// What kind of attacker it is.
    pub profile: Profile,
    pub source: Arc<str>,
    pub client: Client,
    /// Number of the SSH key that it offers or leaves.
    pub key: u64,
    /// The host that it loads files from.
    pub host: Arc<str>,
    /// Number of sessions still to make.
    pub left: usize,
    /// The only sensor that it attacks; `None` means all.
    pub only: Option<usize>,
    /// Mean seconds between the starts of its sessions.
    pub pace: f64,
    /// No other attacker has its key, host and files.
    pub apart: bool,
}

/// Properties that an attacker is given.
#[derive(Debug)]
pub struct Origin {
    pub source: Arc<str>,
    /// Position of its client in the tables, from 0 to below 1.
    pub client: f64,
    pub sensors: usize,
    /// No other attacker has its key, host and files.
    pub apart: bool,
}

/// Share of clients whose algorithms were not logged; only logs of 2017 have them.
const UNNAMED: f64 = 0.12;
/// Share of attackers that attack all sensors.
const SWEEPS: f64 = 0.4;
/// Attackers with at least this many sessions attack all sensors.
const MANY: usize = 40;
/// Median over fast attackers of the mean seconds between their sessions.
const FAST: f64 = 2.5;
/// The same for slow attackers.
const SLOW: f64 = 25.0;
/// Longest activity of an attacker, in seconds.
const LONGEST: f64 = 6.0 * 3600.0;

/// Probability that the next session follows at once.
const VOLLEY: f64 = 0.7;
/// Delay of a session that follows at once, as a part of the mean.
const TOGETHER: f64 = 0.02;

impl Attacker {
    /// Creates attacker `number` with its own random stream and `sessions` sessions.
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

    /// Microseconds to its next session. Tools open several at once, then wait.
    pub fn pause(&mut self) -> i64 {
        let mean = if self.random.chance(VOLLEY) {
            self.pace * TOGETHER
        } else {
            self.pace * (1.0 - VOLLEY * TOGETHER) / (1.0 - VOLLEY)
        };
        (self.random.exponential(mean) * 1e6) as i64
    }

    /// Its own number, or one of `many` that attackers share.
    pub fn of_pool(&self, many: u64) -> u64 {
        if self.apart { self.key >> 8 } else { self.key % many }
    }

    /// Draws the kind of its next session.
    pub fn kind(&mut self, old: bool) -> Kind {
        let (kinds, weights) = &TABLES.kinds[&(self.profile, old)];
        kinds[weights.draw(&mut self.random)]
    }

    /// Draws the credential that it tries next.
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

/// Draws a credential from the end of a long list. Like real lists, it has other alphabets and control
/// characters.
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

/// Bytes that an attacker sends to a port with an unknown protocol.
fn banner(random: &mut Random, place: f64) -> Text {
    match random.below(40) {
        0 => "\u{16}\u{3}\u{1}\0{\u{1}\0\0w\u{3}\u{3}\\xe0\u{7f}".into(),
        1 => "\u{3}\0\0/*\\xe0\0\0\0\0\0Cookie: mstshash=Administr".into(),
        2 => "".into(),
        3 => "MGLNDD_192.0.2.10_2222".into(),
        _ => LEARNT.versions[TABLES.versions.at(place)].0.as_str().into(),
    }
}

/// Uses only addresses and names reserved for documentation, so that nothing is fetched from a real host.
fn host(random: &mut Random) -> Arc<str> {
    match random.below(5) {
        0 => format!("cdn{}.example.net", random.below(40)).into(),
        1 => format!("203.0.113.{}", 1 + random.below(254)).into(),
        _ => format!("198.51.100.{}", 1 + random.below(254)).into(),
    }
}

/// A host that no other attacker has, also reserved for documentation.
fn own_host(random: &mut Random) -> Arc<str> {
    format!("{}.example.{}", super::json::hex(random.bits(), 8), random.pick(&["net", "org", "com"])).into()
}

/// Draws source addresses: mostly one address of a network, sometimes several.
#[derive(Debug)]
pub struct Addresses {
    random: Random,
    networks: Vec<[u8; 3]>,
}

/// Probability that a new address is from a network that had one before.
const NEIGHBOUR: f64 = 0.12;
/// Probability that a new address is IPv6.
const IPV6: f64 = 0.008;
/// Number of networks that are remembered.
const NETWORKS: usize = 512;

impl Addresses {
    pub fn new(seed: u64) -> Self {
        Self { random: Random::new(seed, u64::MAX), networks: Vec::new() }
    }

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
    pub fn counted(counts: impl IntoIterator<Item = u32>) -> Self {
        Self::new(counts.into_iter().map(f64::from))
    }
}
