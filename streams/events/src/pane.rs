//! Panes: what single events add to the sliding windows, by dimension, key and minute.
//!
//! **Invariant**: a pane is a pure function of single events, and adding is commutative. So nothing is ever
//! subtracted, and the same events give the same windows, however they are batched. `event_keys` in
//! `streams/store/migrations/0004_panes.sql` implements the same in SQL.

use std::{borrow::Cow, collections::HashMap, net::IpAddr};

use crate::{Record, Sketch, normal, sketch};

/// Microseconds per minute.
pub const MINUTE: i64 = 60_000_000;

/// What windows are grouped by. A pane's key is the value of the event's own field. An event without that
/// field adds nothing in this dimension.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Dimension {
    /// Every event; the key is empty.
    All,
    Sensor,
    Eventid,
    SrcIp,
    /// The /24 of an IPv4 address, the /48 of an IPv6 address.
    SrcNet,
    /// Only of logins.
    Username,
    /// Only of logins.
    Password,
    /// `username:password` of a login; `:` and `\` in the username are escaped by `\`.
    Credential,
    /// Only of client.kex.
    Hassh,
    /// Only of client.version.
    ClientVersion,
    /// Only of command.input, normalised.
    Command,
    /// SHA-256 of session.file_download and session.file_upload.
    Download,
    /// `host:port` of direct-tcpip.request.
    Forward,
}

impl Dimension {
    /// All dimensions, in the order of the database's type.
    pub const ALL: [Self; 13] = [
        Self::All,
        Self::Sensor,
        Self::Eventid,
        Self::SrcIp,
        Self::SrcNet,
        Self::Username,
        Self::Password,
        Self::Credential,
        Self::Hassh,
        Self::ClientVersion,
        Self::Command,
        Self::Download,
        Self::Forward,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Sensor => "sensor",
            Self::Eventid => "eventid",
            Self::SrcIp => "src_ip",
            Self::SrcNet => "src_net",
            Self::Username => "username",
            Self::Password => "password",
            Self::Credential => "credential",
            Self::Hassh => "hassh",
            Self::ClientVersion => "client_version",
            Self::Command => "command",
            Self::Download => "download",
            Self::Forward => "forward",
        }
    }
}

impl std::str::FromStr for Dimension {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(Self::name).join(", ");
        Self::ALL
            .into_iter()
            .find(|dimension| dimension.name() == name)
            .ok_or_else(|| format!("no dimension {name:?}: expected one of {}", known()))
    }
}

/// Identifies a pane. Its key is bounded (see [`bounded`]), its minute is in minutes since 1970.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct PaneKey<'a> {
    pub dimension: Dimension,
    pub key: Cow<'a, str>,
    pub minute: i64,
}

/// The sum of some events in one pane. Times in microseconds since 1970.
#[derive(Clone, Default, Debug)]
pub struct Pane {
    pub events: i64,
    /// Number of session.connect events.
    pub sessions: i64,
    /// Number of login.failed events.
    pub logins_failed: i64,
    /// Number of login.success events.
    pub logins_succeeded: i64,
    /// Number of command.input events.
    pub commands: i64,
    /// Number of session.file_download events.
    pub downloads: i64,
    /// Total length of the log lines.
    pub bytes: i64,
    pub first_seen: i64,
    pub last_seen: i64,
    pub src_ips: Sketch,
    pub sensors: Sketch,
    /// Distinct sessions, by `sensor/session`.
    pub session_ids: Sketch,
    /// Distinct credentials tried, as the keys of [`Dimension::Credential`] before they are bounded.
    pub credentials: Sketch,
}

impl Pane {
    pub fn merge(&mut self, other: &Self) {
        if self.events == 0 {
            *self = other.clone();
            return;
        }
        self.events += other.events;
        self.sessions += other.sessions;
        self.logins_failed += other.logins_failed;
        self.logins_succeeded += other.logins_succeeded;
        self.commands += other.commands;
        self.downloads += other.downloads;
        self.bytes += other.bytes;
        self.first_seen = self.first_seen.min(other.first_seen);
        self.last_seen = self.last_seen.max(other.last_seen);
        self.src_ips.merge(&other.src_ips);
        self.sensors.merge(&other.sensors);
        self.session_ids.merge(&other.session_ids);
        self.credentials.merge(&other.credentials);
    }

    /// The measures that differ from another pane of the same dimension, each with the other value and this
    /// one. Sketches that the dimension implies are not compared.
    pub fn differences(&self, dimension: Dimension, other: &Self) -> Vec<(&'static str, i64, i64)> {
        let sketch = |implied: bool, mine: &Sketch, theirs: &Sketch| {
            if implied || mine.same(theirs) { (0, 0) } else { (theirs.count(), mine.count()) }
        };
        let src_ips = sketch(dimension == Dimension::SrcIp, &self.src_ips, &other.src_ips);
        let sensors = sketch(dimension == Dimension::Sensor, &self.sensors, &other.sensors);
        let sessions = sketch(false, &self.session_ids, &other.session_ids);
        let credentials = sketch(dimension == Dimension::Credential, &self.credentials, &other.credentials);
        [
            ("events", other.events, self.events),
            ("sessions", other.sessions, self.sessions),
            ("logins_failed", other.logins_failed, self.logins_failed),
            ("logins_succeeded", other.logins_succeeded, self.logins_succeeded),
            ("commands", other.commands, self.commands),
            ("downloads", other.downloads, self.downloads),
            ("bytes", other.bytes, self.bytes),
            ("first_seen", other.first_seen, self.first_seen),
            ("last_seen", other.last_seen, self.last_seen),
            ("distinct_src_ips", src_ips.0, src_ips.1),
            ("distinct_sensors", sensors.0, sensors.1),
            ("distinct_sessions", sessions.0, sessions.1),
            ("distinct_credentials", credentials.0, credentials.1),
        ]
        .into_iter()
        .filter(|(_, theirs, mine)| theirs != mine)
        .collect()
    }

    fn add(&mut self, event: &Addition) {
        if self.events == 0 {
            (self.first_seen, self.last_seen) = (event.ts, event.ts);
        }
        self.events += 1;
        match event.kind {
            Kind::Connect => self.sessions += 1,
            Kind::Failed => self.logins_failed += 1,
            Kind::Succeeded => self.logins_succeeded += 1,
            Kind::Command => self.commands += 1,
            Kind::Download => self.downloads += 1,
            Kind::Other => (),
        }
        self.bytes += event.bytes;
        self.first_seen = self.first_seen.min(event.ts);
        self.last_seen = self.last_seen.max(event.ts);
        for (sketch, hash) in [
            (&mut self.src_ips, event.src_ip),
            (&mut self.sensors, Some(event.sensor)),
            (&mut self.session_ids, event.session),
            (&mut self.credentials, event.credential),
        ] {
            if let Some(hash) = hash {
                sketch.add(hash);
            }
        }
    }
}

/// The panes of some events.
#[derive(Default, Debug)]
pub struct Panes<'a> {
    panes: HashMap<PaneKey<'a>, Pane>,
    /// Cache, because addresses repeat: the text of the address, of its network, and the hash.
    addresses: HashMap<IpAddr, (String, String, i64)>,
    /// Cache of the hashes of sensors.
    sensors: HashMap<&'a str, i64>,
}

impl<'a> Panes<'a> {
    /// Adds an event. An event without a readable time belongs to no minute and is ignored.
    pub fn add(&mut self, record: &'a Record) {
        let Some(ts) = record.ts else { return };
        let sensor = record.sensor.as_str();
        let address = record.src_ip.map(|ip| self.addresses.entry(ip).or_insert_with(|| address(ip)).clone());
        let kind = Kind::of(&record.eventid);
        let credential =
            (kind == Kind::Failed || kind == Kind::Succeeded).then(|| credential(record)).flatten();
        let addition = Addition {
            ts,
            kind,
            bytes: record.length as i64,
            src_ip: address.as_ref().map(|(.., hash)| *hash),
            sensor: *self.sensors.entry(sensor).or_insert_with(|| sketch::hash(sensor)),
            session: record.session.as_deref().map(|session| sketch::hash(&format!("{sensor}/{session}"))),
            credential: credential.as_deref().map(sketch::hash),
        };
        for (dimension, key) in keys(record, kind, address, credential) {
            let key = PaneKey { dimension, key, minute: ts.div_euclid(MINUTE) };
            self.panes.entry(key).or_default().add(&addition);
        }
    }

    /// The panes sorted by dimension, key and minute.
    pub fn into_sorted(self) -> Vec<(PaneKey<'a>, Pane)> {
        let mut panes: Vec<_> = self.panes.into_iter().collect();
        panes.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        panes
    }
}

/// What one event adds to each of its panes.
struct Addition {
    ts: i64,
    kind: Kind,
    bytes: i64,
    src_ip: Option<i64>,
    sensor: i64,
    session: Option<i64>,
    credential: Option<i64>,
}

/// The measure that an event counts for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Connect,
    Failed,
    Succeeded,
    Command,
    Download,
    Other,
}

impl Kind {
    fn of(eventid: &str) -> Self {
        match eventid {
            "cowrie.session.connect" => Self::Connect,
            "cowrie.login.failed" => Self::Failed,
            "cowrie.login.success" => Self::Succeeded,
            "cowrie.command.input" => Self::Command,
            "cowrie.session.file_download" => Self::Download,
            _ => Self::Other,
        }
    }
}

/// The keys that an event has in its own fields.
fn keys<'a>(
    record: &'a Record,
    kind: Kind,
    address: Option<(String, String, i64)>,
    credential: Option<String>,
) -> impl Iterator<Item = (Dimension, Cow<'a, str>)> {
    let login = kind == Kind::Failed || kind == Kind::Succeeded;
    let (ip, net) = address.map_or((None, None), |(ip, net, _)| (Some(ip), Some(net)));
    fn text(value: Option<&String>) -> Option<Cow<'_, str>> {
        value.map(|text| bounded(text))
    }
    [
        (Dimension::All, Some(Cow::Borrowed(""))),
        (Dimension::Sensor, Some(Cow::Borrowed(record.sensor.as_str()))),
        (Dimension::Eventid, Some(bounded(&record.eventid))),
        (Dimension::SrcIp, ip.map(Cow::Owned)),
        (Dimension::SrcNet, net.map(Cow::Owned)),
        (Dimension::Username, text(record.username.as_ref().filter(|_| login))),
        (Dimension::Password, text(record.password.as_ref().filter(|_| login))),
        (Dimension::Credential, credential.map(|text| Cow::Owned(bounded(&text).into_owned()))),
        (Dimension::Hassh, text(record.hassh.as_ref().filter(|_| record.eventid == "cowrie.client.kex"))),
        (
            Dimension::ClientVersion,
            text(record.version.as_ref().filter(|_| record.eventid == "cowrie.client.version")),
        ),
        (
            Dimension::Command,
            record.command.as_ref().map(|input| Cow::Owned(bounded(&normal::normalise(input)).into_owned())),
        ),
        (Dimension::Download, text(record.shasum.as_ref())),
        (Dimension::Forward, text(record.forward.as_ref())),
    ]
    .into_iter()
    .filter_map(|(dimension, key)| Some((dimension, key?)))
}

/// `username:password`, if a login has both.
fn credential(record: &Record) -> Option<String> {
    let (username, password) = (record.username.as_deref()?, record.password.as_deref()?);
    let mut text = String::with_capacity(username.len() + password.len() + 1);
    for c in username.chars() {
        if c == ':' || c == '\\' {
            text.push('\\');
        }
        text.push(c);
    }
    text.push(':');
    text.push_str(password);
    Some(text)
}

fn address(ip: IpAddr) -> (String, String, i64) {
    let text = ip.to_string();
    let net = match ip {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            format!("{a}.{b}.{c}.0/24")
        }
        IpAddr::V6(v6) => format!("{}/48", std::net::Ipv6Addr::from(u128::from(v6) & !0 << 80)),
    };
    let hash = sketch::hash(&text);
    (text, net, hash)
}

/// Longest key that is not shortened, in characters.
const LONGEST_KEY: usize = 120;
/// Characters of a longer key that are kept.
const KEPT_OF_KEY: usize = 100;

/// Turns a value into a key. A value of more than 120 characters becomes its first 100, `…`, and 16 hex
/// digits of its SHA-256.
pub fn bounded(text: &str) -> Cow<'_, str> {
    if text.len() <= LONGEST_KEY || text.chars().nth(LONGEST_KEY).is_none() {
        return Cow::Borrowed(text);
    }
    let kept: String = text.chars().take(KEPT_OF_KEY).collect();
    Cow::Owned(format!("{kept}…{:016x}", sketch::hash(text) as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(line: &str) -> Record {
        Record::read(&"s-1".parse().unwrap(), line.as_bytes()).unwrap()
    }

    fn panes(lines: &[&str]) -> Vec<(String, Pane)> {
        let records: Vec<_> = lines.iter().map(|line| record(line)).collect();
        let mut panes = Panes::default();
        records.iter().for_each(|record| panes.add(record));
        panes
            .into_sorted()
            .into_iter()
            .map(|(key, pane)| (format!("{} {} {}", key.dimension.name(), key.key, key.minute), pane))
            .collect()
    }

    #[test]
    fn a_login_counts_for_every_key_that_it_carries() {
        let line = r#"{"eventid":"cowrie.login.failed","timestamp":"2026-01-01T00:00:59.5Z","session":"a","src_ip":"192.0.2.7","username":"ro:ot","password":"x"}"#;
        let found = panes(&[line, line]);
        let keys: Vec<_> = found.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(
            keys,
            [
                "all  29453760",
                "sensor s-1 29453760",
                "eventid cowrie.login.failed 29453760",
                "src_ip 192.0.2.7 29453760",
                "src_net 192.0.2.0/24 29453760",
                "username ro:ot 29453760",
                "password x 29453760",
                "credential ro\\:ot:x 29453760",
            ]
        );
        for (key, pane) in found {
            assert_eq!(
                (pane.events, pane.logins_failed, pane.sessions, pane.credentials.count()),
                (2, 2, 0, 1),
                "{key}"
            );
        }
    }

    #[test]
    fn only_the_event_that_carries_a_key_counts_for_it() {
        let found = panes(&[
            r#"{"eventid":"cowrie.session.connect","timestamp":"2026-01-01T00:00:00Z","src_ip":"2001:db8:1:2::3"}"#,
            r#"{"eventid":"cowrie.client.kex","timestamp":"2026-01-01T00:00:00Z","hassh":"h","src_ip":"x"}"#,
            r#"{"eventid":"cowrie.direct-tcpip.request","timestamp":"2026-01-01T00:00:00Z","dst_ip":"ya.ru","dst_port":"80"}"#,
            r#"{"eventid":"cowrie.command.input","timestamp":"2026-01-01T00:00:00Z","input":"uname  -a"}"#,
            r#"{"eventid":"cowrie.command.failed","timestamp":"2026-01-01T00:00:00Z","input":"uname  -a"}"#,
            r#"{"eventid":"cowrie.session.connect","src_ip":"192.0.2.7"}"#,
        ]);
        let of = |name: &str| {
            found
                .iter()
                .filter(|(key, _)| key.starts_with(name))
                .map(|(key, pane)| (key.as_str(), pane.events))
                .collect::<Vec<_>>()
        };
        assert_eq!(of("all"), [("all  29453760", 5)]);
        assert_eq!(of("src_ip"), [("src_ip 2001:db8:1:2::3 29453760", 1)]);
        assert_eq!(of("src_net"), [("src_net 2001:db8:1::/48 29453760", 1)]);
        assert_eq!(of("hassh"), [("hassh h 29453760", 1)]);
        assert_eq!(of("forward"), [("forward ya.ru:80 29453760", 1)]);
        assert_eq!(of("command"), [("command uname -a 29453760", 1)]);
    }

    #[test]
    fn a_long_key_is_bounded_and_stays_distinct() {
        let long = "ä".repeat(121);
        assert_eq!(bounded(&"ä".repeat(120)).chars().count(), 120);
        assert_eq!(bounded(&long).chars().count(), 117);
        assert_ne!(bounded(&long), bounded(&"ä".repeat(122)));
        assert_eq!(bounded(&bounded(&long)), bounded(&long));
    }
}
