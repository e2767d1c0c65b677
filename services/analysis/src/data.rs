//! The data set of an analysis: the sessions of a time range with what was tried, typed and fetched in each.
//!
//! Texts are stored once and referred to by number. Sessions are sorted by (start, sensor, session),
//! independent of the order in which they were added.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    ops::Range,
};

use events::features::LENGTH;

/// A text of the data set; see [`Data::text`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Text(u32);

impl Text {
    /// A number below [`Data::texts`].
    pub fn number(self) -> usize {
        self.0 as usize
    }
}

/// Most logins kept of a session: the first ones.
pub const MOST_LOGINS: usize = 1_000;
/// Most raw commands kept of a session: the first ones.
pub const MOST_INPUTS: usize = 1_000;
/// Most distinct forward targets and most distinct offered keys kept of a session: the first ones.
pub const MOST_LISTED: usize = 64;
/// Most bytes kept of a raw command: the first ones.
pub const LONGEST_INPUT: usize = 64 << 10;

/// A session as passed to [`DataBuilder::push`].
#[derive(Clone, Debug, Default)]
pub struct Row<'a> {
    pub sensor: &'a str,
    pub session: &'a str,
    /// The address of the client.
    pub source: Option<IpAddr>,
    /// Time of its first event, in microseconds since 1970.
    pub started: i64,
    /// Its duration in seconds. A value that is negative or not finite counts as 0.
    pub seconds: f64,
    pub client: Option<&'a str>,
    /// MD5 of the client's algorithms.
    pub hassh: Option<&'a str>,
    /// User name, password, and whether the login succeeded; in order of time. Without a password, a public
    /// key was offered.
    pub logins: Vec<(&'a str, Option<&'a str>, bool)>,
    /// Commands as typed, in order of time.
    pub inputs: Vec<&'a str>,
    /// The normalised sequence of commands: fingerprint, number of commands, and the first of them, one a
    /// line (`events::features::Sequence`).
    pub sequence: Option<([u8; 16], usize, &'a str)>,
    /// SHA-256 of files fetched or left, in order of time.
    pub files: Vec<&'a str>,
    /// URLs that files were fetched from.
    pub urls: Vec<&'a str>,
    /// Targets of forwarded connections, as `host:port`; each is kept once.
    pub targets: Vec<&'a str>,
    /// Fingerprints of the public keys that the client offered; each is kept once.
    pub keys: Vec<&'a str>,
    /// `events::features::Features::vector`: [`LENGTH`] numbers. A value that is not finite counts as 0.
    pub vector: &'a [f32],
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Login {
    pub username: Text,
    /// As typed; `None` for a public key.
    pub password: Option<Text>,
    /// Whether Cowrie accepted the login.
    pub success: bool,
}

#[derive(Clone, PartialEq, Debug)]
pub struct Session {
    pub sensor: Text,
    pub session: Text,
    /// The address of the client.
    pub source: Option<IpAddr>,
    /// Time of its first event, in microseconds since 1970.
    pub started: i64,
    /// Its duration, finite and not negative.
    pub seconds: f64,
    pub client: Option<Text>,
    /// MD5 of the client's algorithms.
    pub hassh: Option<Text>,
    /// Index into [`Data::sequences`].
    pub sequence: Option<u32>,
    logins: Range<u32>,
    inputs: Range<u32>,
    files: Range<u32>,
    urls: Range<u32>,
    targets: Range<u32>,
    keys: Range<u32>,
    vector: u32,
}

/// A sequence of normalised commands. Sessions with the same one did the same.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sequence {
    /// Identifies all of its commands.
    pub fingerprint: [u8; 16],
    pub length: usize,
    /// The first commands, one a line.
    pub commands: String,
}

#[derive(Clone, Debug, Default)]
pub struct Data {
    /// Sorted by (started, sensor, session).
    pub sessions: Vec<Session>,
    /// Distinct sequences, sorted by fingerprint.
    pub sequences: Vec<Sequence>,
    texts: Vec<Box<str>>,
    logins: Vec<Login>,
    lists: Vec<Text>,
    vectors: Vec<f32>,
}

impl Data {
    pub fn text(&self, text: Text) -> &str {
        &self.texts[text.number()]
    }

    pub fn texts(&self) -> usize {
        self.texts.len()
    }

    /// Sensor id and session id.
    pub fn name(&self, session: &Session) -> (String, String) {
        (self.text(session.sensor).to_owned(), self.text(session.session).to_owned())
    }

    pub fn logins(&self, session: &Session) -> &[Login] {
        &self.logins[session.logins.start as usize..session.logins.end as usize]
    }

    pub fn inputs(&self, session: &Session) -> &[Text] {
        &self.lists[session.inputs.start as usize..session.inputs.end as usize]
    }

    pub fn files(&self, session: &Session) -> &[Text] {
        &self.lists[session.files.start as usize..session.files.end as usize]
    }

    pub fn urls(&self, session: &Session) -> &[Text] {
        &self.lists[session.urls.start as usize..session.urls.end as usize]
    }

    /// Targets of forwarded connections, as `host:port`, each once.
    pub fn targets(&self, session: &Session) -> &[Text] {
        &self.lists[session.targets.start as usize..session.targets.end as usize]
    }

    /// Fingerprints of the public keys that were offered, each once.
    pub fn keys(&self, session: &Session) -> &[Text] {
        &self.lists[session.keys.start as usize..session.keys.end as usize]
    }

    /// The features of a session: [`LENGTH`] finite numbers.
    pub fn vector(&self, session: &Session) -> &[f32] {
        let from = session.vector as usize * LENGTH;
        &self.vectors[from..from + LENGTH]
    }

    pub fn sequence(&self, session: &Session) -> Option<&Sequence> {
        session.sequence.map(|index| &self.sequences[index as usize])
    }
}

/// Builds a data set from sessions in any order.
#[derive(Debug, Default)]
pub struct DataBuilder {
    data: Data,
    numbers: HashMap<Box<str>, Text>,
    sequences: HashMap<[u8; 16], u32>,
}

impl DataBuilder {
    pub fn push(&mut self, row: &Row<'_>) {
        let logins = self.data.logins.len() as u32;
        for &(username, password, success) in row.logins.iter().take(MOST_LOGINS) {
            let login = Login {
                username: self.text(username),
                password: password.map(|password| self.text(password)),
                success,
            };
            self.data.logins.push(login);
        }
        let logins = logins..self.data.logins.len() as u32;
        let inputs = self.list(row.inputs.iter().take(MOST_INPUTS).map(|input| cut(input)));
        let files = self.list(row.files.iter().take(MOST_INPUTS).copied());
        let urls = self.list(row.urls.iter().take(MOST_INPUTS).copied());
        let targets = self.list(each_once(&row.targets));
        let keys = self.list(each_once(&row.keys));
        let sequence = row.sequence.map(|(fingerprint, length, commands)| {
            let next = self.data.sequences.len() as u32;
            *self.sequences.entry(fingerprint).or_insert_with(|| {
                self.data.sequences.push(Sequence { fingerprint, length, commands: commands.to_owned() });
                next
            })
        });
        let vector = (self.data.vectors.len() / LENGTH) as u32;
        let finite = |value: f32| if value.is_finite() { value } else { 0.0 };
        self.data.vectors.extend((0..LENGTH).map(|n| row.vector.get(n).copied().map_or(0.0, finite)));
        let session = Session {
            sensor: self.text(row.sensor),
            session: self.text(row.session),
            source: row.source.map(|source| source.to_canonical()),
            started: row.started,
            seconds: if row.seconds.is_finite() { row.seconds.max(0.0) } else { 0.0 },
            client: row.client.map(|client| self.text(client)),
            hassh: row.hassh.map(|hassh| self.text(hassh)),
            sequence,
            logins,
            inputs,
            files,
            urls,
            targets,
            keys,
            vector,
        };
        self.data.sessions.push(session);
    }

    /// Builds the data set. The order of the sessions changes only the numbers of texts.
    pub fn build(mut self) -> Data {
        let order = |data: &Data, session: &Session| {
            (session.started, data.text(session.sensor).to_owned(), data.text(session.session).to_owned())
        };
        let mut sessions = std::mem::take(&mut self.data.sessions);
        sessions.sort_by_cached_key(|session| order(&self.data, session));
        let mut places: Vec<u32> = (0..self.data.sequences.len() as u32).collect();
        places.sort_by_key(|&place| self.data.sequences[place as usize].fingerprint);
        let mut moved = vec![0; places.len()];
        places.iter().zip(0..).for_each(|(&from, to)| moved[from as usize] = to);
        sessions
            .iter_mut()
            .for_each(|session| session.sequence = session.sequence.map(|from| moved[from as usize]));
        self.data.sequences.sort_by_key(|sequence| sequence.fingerprint);
        Data { sessions, ..self.data }
    }

    fn text(&mut self, text: &str) -> Text {
        if let Some(&number) = self.numbers.get(text) {
            return number;
        }
        let number = Text(self.data.texts.len() as u32);
        self.data.texts.push(text.into());
        self.numbers.insert(text.into(), number);
        number
    }

    fn list<'a>(&mut self, texts: impl Iterator<Item = &'a str>) -> Range<u32> {
        let from = self.data.lists.len() as u32;
        for text in texts {
            let text = self.text(text);
            self.data.lists.push(text);
        }
        from..self.data.lists.len() as u32
    }
}

/// Returns the first [`MOST_LISTED`] distinct texts.
fn each_once<'a>(texts: &[&'a str]) -> impl Iterator<Item = &'a str> + use<'a> {
    let mut seen = HashSet::new();
    let distinct: Vec<&str> =
        texts.iter().copied().filter(|&text| seen.insert(text)).take(MOST_LISTED).collect();
    distinct.into_iter()
}

/// Returns the first [`LONGEST_INPUT`] bytes, or a few less to end at a character boundary.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(LONGEST_INPUT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
