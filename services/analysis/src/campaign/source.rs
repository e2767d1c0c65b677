//! Sources: the behaviour of each address, as tokens of families of evidence.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::IpAddr,
    ops::Range,
};

use events::features::ELEMENTS;

use super::{Earlier, familiar};
use crate::{
    Data, Stopped, Watch,
    data::{Session, Text},
    finding::credential,
    indicator::{Indicator, host, indicators},
};

/// A kind of evidence. All tokens of a family describe the same property of a source.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub(super) enum Family {
    /// The client's algorithms, else its version.
    Client,
    /// A user name with a password.
    Credential,
    /// Two credentials that followed each other.
    Order,
    /// A whole sequence of commands.
    Sequence,
    Command,
    /// A file, a host that files are fetched from, or a public key that is left or offered.
    Artefact,
    /// A target of forwarded connections.
    Target,
    /// /24 or /48.
    Net,
    /// /16 or /32.
    Region,
    /// Times at which sessions began, and the first and last of them; see [`super::model`].
    Time,
    /// A sensor that it visits.
    Sensor,
    /// How often it comes.
    Pace,
    /// The shape of its sessions.
    Shape,
}

pub(super) const FAMILIES: usize = 13;

impl Family {
    pub const ALL: [Self; FAMILIES] = [
        Self::Client,
        Self::Credential,
        Self::Order,
        Self::Sequence,
        Self::Command,
        Self::Artefact,
        Self::Target,
        Self::Net,
        Self::Region,
        Self::Time,
        Self::Sensor,
        Self::Pace,
        Self::Shape,
    ];

    /// Whether a token's probability is the share of the sources that have it. In the other families it is
    /// the share of the family's tokens.
    pub fn is_per_source(self) -> bool {
        matches!(self, Self::Sequence | Self::Command | Self::Artefact | Self::Target)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Credential => "credentials",
            Self::Order => "credential_order",
            Self::Sequence => "command_sequence",
            Self::Command => "commands",
            Self::Artefact => "artefacts",
            Self::Target => "forward_targets",
            Self::Net => "network",
            Self::Region => "region",
            Self::Time => "time",
            Self::Sensor => "sensors",
            Self::Pace => "pace",
            Self::Shape => "session_shape",
        }
    }
}

/// A token by number; its family is in [`Sources::families`].
pub(super) type Token = u32;

/// Most tokens of a family that are kept for a source: the first ones.
const MOST_TOKENS: usize = 64;
/// Number of intervals that the range is divided into for [`Family::Time`]; none is shorter than an hour.
const TIME_BINS: i64 = 64;
const HOUR: i64 = 3_600_000_000;
const DAY: f64 = 86_400e6;

/// The behaviour of an address.
#[derive(Debug)]
pub(super) struct Source {
    pub address: IpAddr,
    /// Distinct tokens, sorted by family, then in the order of first use.
    pub tokens: Vec<Token>,
    /// Where the tokens of each family begin.
    bounds: [u16; FAMILIES + 1],
    /// Indices into [`Data::sessions`], in order of time.
    pub sessions: Vec<u32>,
    /// When its first and its last session began, in microseconds since 1970.
    pub first_start: i64,
    pub last_start: i64,
}

impl Source {
    pub fn of(&self, family: Family) -> &[Token] {
        let family = family as usize;
        &self.tokens[usize::from(self.bounds[family])..usize::from(self.bounds[family + 1])]
    }
}

#[derive(Debug)]
pub(super) struct Sources {
    /// In the order of their addresses.
    pub all: Vec<Source>,
    /// The family of each token.
    pub families: Vec<Family>,
    /// Least probability of each token, from the lists of [`familiar`] and from [`Earlier`].
    pub priors: Vec<f64>,
    /// What each token is, for people; see [`Sources::label`].
    names: Vec<Name>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Name {
    Text(Text),
    Pair(Text, Option<Text>),
    Two(Token, Token),
    Sequence(u32),
    Line(Box<str>),
    Number(i64),
}

struct Tokens {
    numbers: HashMap<(Family, Name), Token>,
    families: Vec<Family>,
    names: Vec<Name>,
}

impl Tokens {
    fn get(&mut self, family: Family, name: Name) -> Token {
        let next = self.names.len() as Token;
        *self.numbers.entry((family, name.clone())).or_insert_with(|| {
            self.families.push(family);
            self.names.push(name);
            next
        })
    }
}

impl Sources {
    /// Builds the sources of all sessions that have an address.
    pub fn of(
        data: &Data,
        range: &Range<i64>,
        earlier: &Earlier,
        watch: &mut Watch<'_>,
    ) -> Result<Self, Stopped> {
        let mut by_address = BTreeMap::<IpAddr, Vec<u32>>::new();
        for (session, index) in data.sessions.iter().zip(0..) {
            if let Some(address) = session.source {
                by_address.entry(address).or_default().push(index);
            }
        }
        let mut tokens = Tokens { numbers: HashMap::new(), families: Vec::new(), names: Vec::new() };
        let bin = (range.end.saturating_sub(range.start) / TIME_BINS).max(HOUR);
        let lines = lines(data, &mut tokens);
        let total = by_address.len();
        let mut all = Vec::with_capacity(total);
        for (n, (address, sessions)) in by_address.into_iter().enumerate() {
            if n % 256 == 0 {
                watch.at(n as f64 / total as f64)?;
            }
            let mut gather = Gather { data, tokens: &mut tokens, lines: &lines, found: Default::default() };
            gather.address(address);
            for &index in &sessions {
                gather.session(&data.sessions[index as usize], bin);
            }
            gather.pace(&sessions);
            all.push(gather.source(address, sessions));
        }
        let mut sources = Self { all, families: tokens.families, priors: Vec::new(), names: tokens.names };
        sources.priors = sources
            .names
            .iter()
            .zip(&sources.families)
            .map(|(name, &family)| sources.prior(data, earlier, name, family))
            .collect();
        Ok(sources)
    }

    /// Least probability of a token.
    fn prior(&self, data: &Data, earlier: &Earlier, name: &Name, family: Family) -> f64 {
        let of_token = |token: Token| {
            self.prior(data, earlier, &self.names[token as usize], self.families[token as usize])
        };
        match name {
            Name::Pair(user, Some(password)) => {
                let (user, password) = (data.text(*user), data.text(*password));
                familiar::credential(user, password).max(earlier.share(user, password))
            }
            Name::Two(first, second) => familiar::order(of_token(*first), of_token(*second)),
            Name::Text(text) if family == Family::Target => {
                familiar::host(data.text(*text).rsplit_once(':').map_or("", |(host, _)| host))
            }
            Name::Line(line) if family == Family::Artefact => familiar::host(line),
            _ => 0.0,
        }
    }

    /// Returns a token as text, for people and machines: short. It contains unescaped text of attackers.
    pub fn label(&self, data: &Data, token: Token) -> String {
        match &self.names[token as usize] {
            Name::Text(text) => data.text(*text).to_owned(),
            Name::Pair(user, password) => {
                credential(data.text(*user), password.map_or("(public key)", |password| data.text(password)))
            }
            Name::Two(first, second) => {
                format!("{} → {}", self.label(data, *first), self.label(data, *second))
            }
            Name::Sequence(index) => data.sequences[*index as usize].commands.chars().take(400).collect(),
            Name::Line(line) => line.to_string(),
            Name::Number(number) => number.to_string(),
        }
    }
}

/// Returns the commands of each sequence, as tokens.
fn lines(data: &Data, tokens: &mut Tokens) -> Vec<Vec<Token>> {
    let of = |commands: &str, tokens: &mut Tokens| {
        let mut seen = HashSet::new();
        commands
            .lines()
            .take(MOST_TOKENS)
            .map(|line| tokens.get(Family::Command, Name::Line(line.into())))
            .filter(|token| seen.insert(*token))
            .collect()
    };
    data.sequences.iter().map(|sequence| of(&sequence.commands, tokens)).collect()
}

struct Gather<'a> {
    data: &'a Data,
    tokens: &'a mut Tokens,
    lines: &'a [Vec<Token>],
    found: [Vec<Token>; FAMILIES],
}

impl Gather<'_> {
    fn add(&mut self, family: Family, name: Name) -> Token {
        let token = self.tokens.get(family, name);
        self.note(family, token);
        token
    }

    fn note(&mut self, family: Family, token: Token) {
        let found = &mut self.found[family as usize];
        if found.len() < MOST_TOKENS && !found.contains(&token) {
            found.push(token);
        }
    }

    fn address(&mut self, address: IpAddr) {
        let (net, region) = match address {
            IpAddr::V4(v4) => (i64::from(v4.to_bits() >> 8), i64::from(v4.to_bits() >> 16)),
            IpAddr::V6(v6) => ((v6.to_bits() >> 80) as i64 | 1 << 60, (v6.to_bits() >> 96) as i64 | 1 << 60),
        };
        self.add(Family::Net, Name::Number(net));
        self.add(Family::Region, Name::Number(region));
    }

    fn session(&mut self, session: &Session, bin: i64) {
        let data = self.data;
        self.add(Family::Time, Name::Number(session.started.div_euclid(bin)));
        self.add(Family::Sensor, Name::Text(session.sensor));
        if let Some(client) = session.hassh.or(session.client) {
            self.add(Family::Client, Name::Text(client));
        }
        let mut before = None;
        for login in data.logins(session) {
            let token = self.add(Family::Credential, Name::Pair(login.username, login.password));
            if let Some(before) = before.replace(token).filter(|&before| before != token) {
                self.add(Family::Order, Name::Two(before, token));
            }
        }
        if let Some(index) = session.sequence {
            self.add(Family::Sequence, Name::Sequence(index));
            for n in 0..self.lines[index as usize].len() {
                self.note(Family::Command, self.lines[index as usize][n]);
            }
        }
        self.artefacts(session);
        self.add(Family::Shape, Name::Number(shape(data.vector(session))));
    }

    fn artefacts(&mut self, session: &Session) {
        let data = self.data;
        for &file in data.files(session).iter().filter(|&&file| !familiar::is_empty(data.text(file))) {
            self.add(Family::Artefact, Name::Text(file));
        }
        for &url in data.urls(session) {
            if let Some(host) = host(data.text(url)) {
                self.host(host);
            }
        }
        for &key in data.keys(session) {
            self.add(Family::Artefact, Name::Text(key));
        }
        for &target in data.targets(session) {
            self.add(Family::Target, Name::Text(target));
        }
        for &input in data.inputs(session).iter().take(MOST_TOKENS) {
            if self.found[Family::Artefact as usize].len() >= MOST_TOKENS {
                // Only the first tokens are kept, and one command can name thousands of hosts.
                break;
            }
            for indicator in indicators(data.text(input)) {
                match indicator {
                    Indicator::Key(key) => _ = self.add(Family::Artefact, Name::Line(key.into())),
                    Indicator::Host(host) => self.host(host),
                    Indicator::Url(_) => (),
                }
            }
        }
    }

    /// Adds a host that files are fetched from; loopback addresses do not count.
    fn host(&mut self, host: &str) {
        let is_itself = |address: IpAddr| address.is_loopback() || address.is_unspecified();
        if !host.parse().is_ok_and(is_itself) && host != "localhost" {
            self.add(Family::Artefact, Name::Line(host.into()));
        }
    }

    /// Adds the sessions per day and the median time between sessions, each as a power of two.
    fn pace(&mut self, sessions: &[u32]) {
        let started: Vec<i64> =
            sessions.iter().map(|&index| self.data.sessions[index as usize].started).collect();
        let mut gaps: Vec<i64> = started.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect();
        gaps.sort_unstable();
        let gap = gaps.get(gaps.len() / 2).map_or(-1, |&gap| magnitude(gap as f64 / 1e6));
        let days = started
            .last()
            .zip(started.first())
            .map_or(1.0, |(last, first)| (last.saturating_sub(*first) as f64 / DAY).max(1.0));
        self.add(Family::Pace, Name::Number(gap << 8 | magnitude(sessions.len() as f64 / days)));
    }

    fn source(self, address: IpAddr, sessions: Vec<u32>) -> Source {
        let mut bounds = [0; FAMILIES + 1];
        let mut tokens = Vec::with_capacity(self.found.iter().map(Vec::len).sum());
        for (family, found) in self.found.into_iter().enumerate() {
            tokens.extend(found);
            bounds[family + 1] = tokens.len() as u16;
        }
        let start =
            |index: Option<&u32>| index.map_or(0, |&index| self.data.sessions[index as usize].started);
        let (first_start, last_start) = (start(sessions.first()), start(sessions.last()));
        Source { address, tokens, bounds, sessions, first_start, last_start }
    }
}

/// The exponent of the greatest power of two that is not above a number; 0 below 2.
fn magnitude(value: f64) -> i64 {
    if value >= 2.0 { value.log2() as i64 } else { 0 }
}

/// Describes the shape of a session coarsely: which of the countable things happened, and how often or how
/// long, as a power of e.
fn shape(vector: &[f32]) -> i64 {
    const LOOKED_AT: [&str; 7] =
        ["duration", "logins_failed", "logins_succeeded", "commands", "downloads", "uploads", "forwards"];
    LOOKED_AT.iter().fold(0, |shape, name| {
        let place = ELEMENTS.iter().position(|element| element.name == *name);
        // The elements are logarithms.
        let value = place.map_or(0.0, |place| vector[place]);
        shape * 16 + (f64::from(value).round() as i64).clamp(0, 15)
    })
}
