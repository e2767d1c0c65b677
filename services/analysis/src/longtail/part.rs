//! Summaries of the sessions of a time span, and of several spans together.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashSet},
};

use serde::{Deserialize, Serialize};

use super::{
    FormName,
    cached::{opened, sealed},
    payload::{Payload, payloads},
};
use crate::{Data, Stopped, Watch, data::Session, finding::SessionName, indicator::host};

/// Most sessions named as examples of a form or payload.
pub(super) const MOST_EXAMPLES: usize = 8;
/// Most payloads of a part.
const MOST_PAYLOADS: usize = 5_000;
/// Length of the slots in which patterns are counted, in microseconds: four hours.
pub(super) const SLOT: i64 = 4 * 3_600_000_000;
/// Most commands of a sequence that are counted: as many as are stored.
const MOST_COMMANDS: usize = 200;
/// Longer texts of patterns, in bytes, are cut.
const LONGEST: usize = 400;

/// A kind of pattern whose frequency over time is counted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PatternKind {
    Command,
    /// User name and password, separated by a newline.
    Credential,
    /// MD5 of the client's algorithms, else its version.
    Client,
    File,
    /// The host of a URL.
    Host,
}

/// A session as an example: its name and its source.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub(super) struct Example {
    pub started: i64,
    pub name: SessionName,
    pub source: String,
}

/// Sessions with the same shape and sequence.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct Form {
    pub sessions: u64,
    pub last: i64,
    /// The first sessions.
    pub examples: Vec<Example>,
}

impl Default for Form {
    fn default() -> Self {
        Self { sessions: 0, last: i64::MIN, examples: Vec::new() }
    }
}

/// How often a pattern occurred.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub(super) struct PatternCount {
    pub sessions: u64,
    /// Distinct sources of each slot.
    pub slots: BTreeMap<i64, u32>,
}

/// A payload, and the sessions that carried it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct CarriedPayload {
    pub payload: Payload,
    pub sessions: u64,
    pub last: i64,
    pub examples: Vec<Example>,
}

/// A sequence of normalised commands as text.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct TypedSequence {
    pub length: u64,
    pub commands: String,
}

/// The summary of the sessions that began in a time span. The sum of the parts of neighbouring spans equals
/// the part of the whole span.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Part {
    pub(super) sessions: u64,
    /// Sessions with commands.
    pub(super) typing: u64,
    pub(super) forms: BTreeMap<FormName, Form>,
    pub(super) sequences: BTreeMap<[u8; 16], TypedSequence>,
    pub(super) patterns: BTreeMap<(PatternKind, String), PatternCount>,
    /// Distinct sources of each slot.
    pub(super) slots: BTreeMap<i64, u32>,
    pub(super) payloads: BTreeMap<[u8; 16], CarriedPayload>,
    /// Number of payloads beyond the limit.
    pub(super) payloads_left_out: u64,
    /// Login attempts, and those whose password is the user name.
    pub(super) logins: u64,
    pub(super) password_is_username: u64,
}

impl Part {
    /// Summarises the sessions of the data set.
    pub fn of(data: &Data, watch: &mut Watch<'_>) -> Result<Self, Stopped> {
        let mut part = Self::default();
        let mut seen = CountedSources::default();
        for sequence in &data.sequences {
            part.sequences.insert(
                sequence.fingerprint,
                TypedSequence { length: sequence.length as u64, commands: sequence.commands.clone() },
            );
        }
        for (n, session) in data.sessions.iter().enumerate() {
            if n % 256 == 0 {
                watch.at(n as f64 / data.sessions.len() as f64)?;
            }
            part.add(data, session, &mut seen);
        }
        watch.at(1.0)?;
        Ok(part)
    }

    pub fn sessions(&self) -> u64 {
        self.sessions
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        sealed(self)
    }

    /// Returns `None` when the bytes are damaged or of another version.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        opened(bytes)
    }

    fn add(&mut self, data: &Data, session: &Session, seen: &mut CountedSources) {
        let source = session.source.map_or_else(|| "?".to_owned(), |source| source.to_string());
        let example =
            || Example { started: session.started, name: data.name(session), source: source.clone() };
        self.sessions += 1;
        self.typing += u64::from(session.sequence.is_some());
        let form = self.forms.entry(super::form(data, session)).or_default();
        form.sessions += 1;
        form.last = form.last.max(session.started);
        if form.examples.len() < MOST_EXAMPLES {
            form.examples.push(example());
        }
        let slot = session.started.div_euclid(SLOT);
        if seen.sources.insert((slot, source.clone())) {
            *self.slots.entry(slot).or_default() += 1;
        }
        for pattern in patterns(data, session) {
            let entry = self.patterns.entry(pattern.clone()).or_default();
            entry.sessions += 1;
            if seen.of_patterns.insert((pattern.0, pattern.1, slot, source.clone())) {
                *entry.slots.entry(slot).or_default() += 1;
            }
        }
        for login in data.logins(session) {
            self.logins += 1;
            self.password_is_username += u64::from(Some(login.username) == login.password);
        }
        let mut carried = HashSet::new();
        for &input in data.inputs(session) {
            for (name, payload) in payloads(data.text(input)) {
                if carried.insert(name) {
                    self.carry(name, payload, example());
                }
            }
        }
    }

    fn carry(&mut self, name: [u8; 16], payload: Payload, example: Example) {
        if self.payloads.len() >= MOST_PAYLOADS && !self.payloads.contains_key(&name) {
            self.payloads_left_out += 1;
            return;
        }
        let carried = self.payloads.entry(name).or_insert_with(|| CarriedPayload {
            payload,
            sessions: 0,
            last: i64::MIN,
            examples: Vec::new(),
        });
        carried.sessions += 1;
        carried.last = carried.last.max(example.started);
        if carried.examples.len() < MOST_EXAMPLES {
            carried.examples.push(example);
        }
    }

    /// Adds a later part.
    pub(super) fn merge(&mut self, other: &Self) {
        self.sessions += other.sessions;
        self.typing += other.typing;
        self.logins += other.logins;
        self.password_is_username += other.password_is_username;
        self.payloads_left_out += other.payloads_left_out;
        for (key, form) in &other.forms {
            let merged = self.forms.entry(key.clone()).or_default();
            merged.sessions += form.sessions;
            merged.last = merged.last.max(form.last);
            more(&mut merged.examples, &form.examples);
        }
        for (fingerprint, typed) in &other.sequences {
            self.sequences.entry(*fingerprint).or_insert_with(|| typed.clone());
        }
        for (slot, sources) in &other.slots {
            *self.slots.entry(*slot).or_default() += sources;
        }
        for (pattern, seen) in &other.patterns {
            let merged = self.patterns.entry(pattern.clone()).or_default();
            merged.sessions += seen.sessions;
            for (slot, sources) in &seen.slots {
                *merged.slots.entry(*slot).or_default() += sources;
            }
        }
        for (name, carried) in &other.payloads {
            match self.payloads.get_mut(name) {
                Some(merged) => {
                    merged.sessions += carried.sessions;
                    merged.last = merged.last.max(carried.last);
                    more(&mut merged.examples, &carried.examples);
                }
                None => _ = self.payloads.insert(*name, carried.clone()),
            }
        }
    }
}

/// Sources that were counted already.
#[derive(Default)]
struct CountedSources {
    /// For each slot.
    sources: HashSet<(i64, String)>,
    /// For each pattern and slot.
    of_patterns: HashSet<(PatternKind, String, i64, String)>,
}

fn more(examples: &mut Vec<Example>, others: &[Example]) {
    let room = MOST_EXAMPLES.saturating_sub(examples.len());
    examples.extend(others.iter().take(room).cloned());
}

/// Returns the distinct patterns of a session.
fn patterns(data: &Data, session: &Session) -> BTreeSet<(PatternKind, String)> {
    let mut found = BTreeSet::new();
    if let Some(sequence) = data.sequence(session) {
        found.extend(
            sequence
                .commands
                .lines()
                .take(MOST_COMMANDS)
                .map(|line| (PatternKind::Command, bounded(line).into_owned())),
        );
    }
    for login in data.logins(session) {
        if let Some(password) = login.password {
            found.insert((
                PatternKind::Credential,
                bounded(&format!("{}\n{}", data.text(login.username), data.text(password))).into_owned(),
            ));
        }
    }
    if let Some(client) = session.hassh.or(session.client) {
        found.insert((PatternKind::Client, bounded(data.text(client)).into_owned()));
    }
    found.extend(
        data.files(session).iter().map(|&file| (PatternKind::File, bounded(data.text(file)).into_owned())),
    );
    found.extend(
        data.urls(session)
            .iter()
            .filter_map(|&url| host(data.text(url)))
            .map(|host| (PatternKind::Host, bounded(host).into_owned())),
    );
    found
}

/// Returns a text; a long one is cut and gets a hash, which distinguishes it from others with the same start.
pub(super) fn bounded(text: &str) -> Cow<'_, str> {
    if text.len() <= LONGEST {
        return text.into();
    }
    let start: String = text.chars().take(LONGEST / 4).collect();
    format!("{start}…{}", &blake3::hash(text.as_bytes()).to_hex()[..16]).into()
}
