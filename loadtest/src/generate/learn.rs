//! Learns the profile from real logs: only counts and quantiles. Texts that may name a person or a download
//! location are left out.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    hash::Hash,
    io::Read,
    net::IpAddr,
    path::PathBuf,
};

use anyhow::Context;
use events::line::Item;
use serde_json::Value;

use super::{
    kind::{Kind, Profile},
    observed::{Observed, Seen, unquoted},
    profile::{KindTable, Learnt, SourceTable, Spread, Tool},
    statistics::Statistics,
};

/// `loadtest learn`
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Args {
    /// Logs, plain or compressed
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let mut learning = Learning::default();
    distinct_lines(&args.paths, |line| learning.add(line))?;
    boot::say!(
        "{}",
        serde_json::to_string(&learning.finish())?
            .replace("],\"", "],\n\"")
            .replace("},\"", "},\n\"")
            .replace("},{", "},\n{")
    );
    Ok(())
}

/// Calls with every distinct line of the files.
pub fn distinct_lines(paths: &[PathBuf], mut each: impl FnMut(&[u8])) -> anyhow::Result<()> {
    let mut seen = HashSet::<u64>::new();
    let mut chunk = vec![0; 256 * 1024];
    for path in paths {
        let open = || path.display().to_string();
        let mut from = loader::Input::open(path).with_context(open)?;
        let mut lines = events::LineReader::new(0);
        let mut take = |item| match item {
            Item::Line { bytes, .. } if seen.insert(hash(&bytes)) => each(&bytes),
            _ => (),
        };
        loop {
            let n = from.read(&mut chunk).with_context(open)?;
            let mut rest = &chunk[..n];
            while let Some(item) = lines.next(&mut rest) {
                take(item);
            }
            if n == 0 {
                break;
            }
        }
        lines.finish().into_iter().for_each(take);
    }
    Ok(())
}

fn hash(line: &[u8]) -> u64 {
    use std::hash::{DefaultHasher, Hasher};
    let mut hasher = DefaultHasher::new();
    hasher.write(line);
    hasher.finish()
}

#[derive(Debug)]
struct Counts<T>(HashMap<T, u32>);

impl<T> Default for Counts<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T: Hash + Eq + Ord> Counts<T> {
    fn add(&mut self, key: T) {
        *self.0.entry(key).or_default() += 1;
    }

    /// Returns the most frequent keys, without those seen once.
    fn top(self, n: usize) -> Vec<(T, u32)> {
        let mut all: Vec<_> = self.0.into_iter().filter(|(_, n)| *n > 1).collect();
        all.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        all.truncate(n);
        all
    }
}

#[derive(Debug, Default)]
struct Learning {
    observed: Observed,
    tools: Counts<(String, String)>,
    algorithms: HashMap<String, (String, String)>,
    versions: Counts<String>,
    targets: Counts<(String, u16)>,
    sizes: Counts<(u16, u16)>,
    archs: Counts<String>,
}

impl Learning {
    fn add(&mut self, line: &[u8]) {
        let Some(event) = self.observed.add(line) else { return };
        let text = |key: &str| event[key].as_str();
        let number = |key: &str| event[key].as_u64().and_then(|n| u16::try_from(n).ok());
        match text("eventid").unwrap_or_default() {
            "cowrie.client.kex" => {
                if let (Some(hassh), Some(algorithms)) = (text("hassh"), text("hasshAlgorithms")) {
                    self.algorithms
                        .insert(hassh.to_owned(), (algorithms.to_owned(), joined(&event["keyAlgs"])));
                }
            }
            "cowrie.direct-tcpip.request" => {
                if let (Some(host), Some(port)) = (text("dst_ip"), number("dst_port"))
                    && host.parse::<IpAddr>().is_err()
                    && host.contains('.')
                {
                    self.targets.add((host.to_owned(), port));
                }
            }
            "cowrie.client.size" => {
                self.sizes.add((number("width").unwrap_or(80), number("height").unwrap_or(24)))
            }
            "cowrie.session.params" => self.archs.add(text("arch").unwrap_or_default().to_owned()),
            _ => (),
        }
    }

    fn finish(mut self) -> Learnt {
        let (mut pairs, mut users, mut passwords, mut telnet) =
            (Counts::default(), Counts::default(), Counts::default(), Counts::default());
        for session in self.observed.sessions.values().filter(|session| !private(&session.source)) {
            match (&session.version, &session.hassh) {
                (Some(version), Some(hassh)) => self.tools.add((version.clone(), hassh.clone())),
                (Some(version), None) if harmless(version, 40) => {
                    self.versions.add(unquoted(version).to_owned())
                }
                _ => (),
            }
            for (user, password) in session
                .credentials
                .iter()
                .filter(|(user, password)| harmless(user, 24) && harmless(password, 28))
            {
                if session.telnet {
                    telnet.add((user.clone(), password.clone()));
                } else {
                    pairs.add((user.clone(), password.clone()));
                    users.add(user.clone());
                    passwords.add(password.clone());
                }
            }
        }
        let flat = |((a, b), n)| (a, b, n);
        let tool = |((version, hassh), n)| {
            let (algorithms, keys) = self.algorithms.get(&hassh).cloned()?;
            Some(Tool { version, hassh, algorithms, keys, n })
        };
        Learnt {
            kinds: kinds(&self.observed),
            sources: sources(&self.observed),
            credentials: pairs.top(300).into_iter().map(flat).collect(),
            usernames: users.top(120),
            passwords: passwords.top(400),
            telnet: telnet.top(80).into_iter().map(flat).collect(),
            tools: self.tools.top(22).into_iter().filter_map(tool).collect(),
            versions: self.versions.top(30),
            targets: self.targets.top(19).into_iter().map(|((host, port), n)| (host, port, n)).collect(),
            sizes: self.sizes.top(20).into_iter().map(|((width, height), n)| (width, height, n)).collect(),
            archs: self.archs.top(6),
            statistics: Statistics::observed(self.observed),
        }
    }
}

fn joined(list: &Value) -> String {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join(",")
}

fn kinds(observed: &Observed) -> Vec<KindTable> {
    let mut groups = BTreeMap::<(Kind, bool), Vec<&Seen>>::new();
    observed
        .sessions
        .values()
        .for_each(|session| groups.entry((session.kind(), session.telnet)).or_default().push(session));
    let table = |((kind, telnet), sessions): ((Kind, bool), Vec<&Seen>)| {
        let mut means = BTreeMap::<String, f32>::new();
        sessions
            .iter()
            .flat_map(|session| &session.events)
            .for_each(|(name, n)| *means.entry(name.clone()).or_default() += *n as f32);
        means
            .values_mut()
            .for_each(|mean| *mean = (*mean / sessions.len() as f32 * 10_000.0).round() / 10_000.0);
        KindTable {
            kind,
            telnet,
            share: sessions.len() as f64 / observed.sessions.len() as f64,
            duration: Spread::of(sessions.iter().filter_map(|session| session.seconds).collect()),
            repeats: Spread::of(
                sessions.iter().map(|session| f64::from(session.count(kind.repeats()))).collect(),
            ),
            means,
        }
    };
    groups.into_iter().filter(|(_, sessions)| sessions.len() > 9).map(table).collect()
}

/// An address has the profile of most of its sessions.
fn sources(observed: &Observed) -> BTreeMap<Profile, SourceTable> {
    let mut by_address = BTreeMap::<&str, BTreeMap<Profile, u32>>::new();
    for session in observed.sessions.values() {
        *by_address
            .entry(&session.source)
            .or_default()
            .entry(Profile::of(session.kind(), session.telnet))
            .or_default() += 1;
    }
    let addresses = by_address.len() as f64;
    let mut groups = BTreeMap::<Profile, Vec<f64>>::new();
    for profiles in by_address.into_values() {
        let total: u32 = profiles.values().sum();
        if let Some((profile, _)) = profiles.into_iter().max_by_key(|(_, n)| *n) {
            groups.entry(profile).or_default().push(f64::from(total));
        }
    }
    groups
        .into_iter()
        .map(|(profile, totals)| {
            (profile, SourceTable { share: totals.len() as f64 / addresses, sessions: Spread::of(totals) })
        })
        .collect()
}

/// Addresses of laboratories, whose credentials are private.
fn private(source: &str) -> bool {
    match source.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => address.is_private() || address.is_loopback(),
        Ok(IpAddr::V6(_)) => false,
        Err(_) => true,
    }
}

/// Whether a text is short, printable and contains nothing like an address, a name at a host or a URL.
fn harmless(text: &str, longest: usize) -> bool {
    let number = |part: &str| !part.is_empty() && part.len() <= 3 && part.bytes().all(|c| c.is_ascii_digit());
    let address = text
        .split(|c: char| c != '.' && !c.is_ascii_digit())
        .any(|run| run.split('.').filter(|part| number(part)).count() >= 4);
    let mail = text.contains('@') && text.contains('.');
    text.len() <= longest
        && !address
        && !mail
        && !text.contains("://")
        && text.chars().all(|c| !c.is_control() || c == '\0')
}
