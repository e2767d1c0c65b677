//! What an event adds to its session and its sensor, and how such deltas are merged.
//!
//! **Invariant**: merging is commutative and associative, so the same events give the same rows in any order
//! and batching. The database merges by the same rules, see `streams/store/src/sessions.rs`.

use std::net::IpAddr;

use crate::{EventId, Record, SensorId, known};

/// Orders candidates for a "first" value: by an optional class, the time (no time last), the event id. The
/// order is the same as that of its bytes, which Postgres compares.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Rank {
    class: Option<u8>,
    time: u64,
    id: EventId,
}

impl Rank {
    fn of(ts: Option<i64>, id: EventId) -> Self {
        Self { class: None, time: ts.map_or(u64::MAX, |micros| (micros as u64) ^ (1 << 63)), id }
    }

    fn with_class(self, class: u8) -> Self {
        Self { class: Some(class), ..self }
    }

    /// The class byte if there is one, 8 bytes of time (microseconds, big endian, offset 2^63), 16 bytes of
    /// event id.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(25);
        bytes.extend(self.class);
        bytes.extend(self.time.to_be_bytes());
        bytes.extend(self.id.0);
        bytes
    }
}

/// A "first" value with its rank.
#[derive(Clone, PartialEq, Debug)]
pub struct Ranked<T>(pub Rank, pub T);

/// What some events add to their session row; columns as in the table `sessions`.
#[derive(Clone, PartialEq, Debug)]
pub struct SessionDelta {
    pub sensor: SensorId,
    pub session: String,
    pub protocol: Option<Ranked<String>>,
    pub src_ip: Option<Ranked<IpAddr>>,
    pub src_port: Option<Ranked<u16>>,
    pub started_at: Option<i64>,
    pub last_event_at: Option<i64>,
    pub closed: bool,
    pub closed_at: Option<i64>,
    pub reported_duration_ms: Option<Ranked<i64>>,
    pub client_version: Option<Ranked<String>>,
    pub hassh: Option<Ranked<String>>,
    /// Username and password of the first successful login.
    pub login: Option<Ranked<(Option<String>, Option<String>)>>,
    pub event_count: i64,
    pub login_attempts: i64,
    pub login_successes: i64,
    pub command_count: i64,
    pub download_count: i64,
    pub upload_count: i64,
    pub forward_count: i64,
    pub bytes: i64,
}

impl SessionDelta {
    /// The delta of one event; `None` when it belongs to no session.
    pub fn of(record: &Record) -> Option<Self> {
        let mut delta = Self::nothing(record.sensor.clone(), record.session.clone()?);
        delta.add(record);
        Some(delta)
    }

    pub fn nothing(sensor: SensorId, session: String) -> Self {
        Self {
            sensor,
            session,
            protocol: None,
            src_ip: None,
            src_port: None,
            started_at: None,
            last_event_at: None,
            closed: false,
            closed_at: None,
            reported_duration_ms: None,
            client_version: None,
            hassh: None,
            login: None,
            event_count: 0,
            login_attempts: 0,
            login_successes: 0,
            command_count: 0,
            download_count: 0,
            upload_count: 0,
            forward_count: 0,
            bytes: 0,
        }
    }

    /// Adds another event of the same session.
    pub fn add(&mut self, record: &Record) {
        let rank = Rank::of(record.ts, record.id);
        let (mut connect, mut closed) = (false, false);
        match record.eventid.strip_prefix("cowrie.").unwrap_or_default() {
            "session.connect" => connect = true,
            "session.closed" => closed = true,
            "login.failed" => self.login_attempts += 1,
            "login.success" => {
                (self.login_attempts, self.login_successes) =
                    (self.login_attempts + 1, self.login_successes + 1);
                candidate(&mut self.login, rank, || Some((record.username.clone(), record.password.clone())));
            }
            "client.version" => candidate(&mut self.client_version, rank, || record.version.clone()),
            "client.kex" => candidate(&mut self.hassh, rank, || record.hassh.clone()),
            "command.input" => self.command_count += 1,
            "session.file_download" => self.download_count += 1,
            "session.file_upload" => self.upload_count += 1,
            "direct-tcpip.request" => self.forward_count += 1,
            _ => (),
        }
        candidate(&mut self.protocol, rank, || record.protocol.clone());
        candidate(&mut self.src_ip, rank.with_class(u8::from(!connect)), || record.src_ip);
        if connect {
            candidate(&mut self.src_port, rank, || record.src_port);
        }
        if closed {
            self.closed = true;
            self.closed_at = self.closed_at.max(record.ts);
            candidate(&mut self.reported_duration_ms, rank, || record.duration_ms);
        }
        self.started_at = least(self.started_at, record.ts);
        self.last_event_at = self.last_event_at.max(record.ts);
        self.event_count += 1;
        self.bytes += record.length as i64;
    }

    /// Adds the delta of other events of the same session.
    pub fn merge(&mut self, other: Self) {
        first(&mut self.protocol, other.protocol);
        first(&mut self.src_ip, other.src_ip);
        first(&mut self.src_port, other.src_port);
        first(&mut self.reported_duration_ms, other.reported_duration_ms);
        first(&mut self.client_version, other.client_version);
        first(&mut self.hassh, other.hassh);
        first(&mut self.login, other.login);
        self.started_at = least(self.started_at, other.started_at);
        self.last_event_at = self.last_event_at.max(other.last_event_at);
        self.closed |= other.closed;
        self.closed_at = self.closed_at.max(other.closed_at);
        self.event_count += other.event_count;
        self.login_attempts += other.login_attempts;
        self.login_successes += other.login_successes;
        self.command_count += other.command_count;
        self.download_count += other.download_count;
        self.upload_count += other.upload_count;
        self.forward_count += other.forward_count;
        self.bytes += other.bytes;
    }
}

/// What some events add to their sensor row; columns as in the table `sensors`.
#[derive(Clone, PartialEq, Debug)]
pub struct SensorDelta {
    pub sensor: SensorId,
    pub first_event_at: Option<i64>,
    pub last_event_at: Option<i64>,
    pub event_count: i64,
    pub outside_time_count: i64,
    pub unknown_count: i64,
    pub bytes: i64,
}

impl SensorDelta {
    /// The delta of one event.
    pub fn of(record: &Record) -> Self {
        Self {
            sensor: record.sensor.clone(),
            first_event_at: record.ts,
            last_event_at: record.ts,
            event_count: 1,
            outside_time_count: i64::from(record.ts.is_none()),
            unknown_count: i64::from(!known::is_known(&record.eventid)),
            bytes: record.length as i64,
        }
    }

    /// Adds the delta of other events of the same sensor.
    pub fn merge(&mut self, other: &Self) {
        self.first_event_at = least(self.first_event_at, other.first_event_at);
        self.last_event_at = self.last_event_at.max(other.last_event_at);
        self.event_count += other.event_count;
        self.outside_time_count += other.outside_time_count;
        self.unknown_count += other.unknown_count;
        self.bytes += other.bytes;
    }
}

/// Takes the value, if there is one, when its rank is lower than the current one.
fn candidate<T>(mine: &mut Option<Ranked<T>>, rank: Rank, value: impl FnOnce() -> Option<T>) {
    if mine.as_ref().is_none_or(|mine| rank < mine.0)
        && let Some(value) = value()
    {
        *mine = Some(Ranked(rank, value));
    }
}

fn first<T>(mine: &mut Option<Ranked<T>>, other: Option<Ranked<T>>) {
    if let Some(other) = other
        && mine.as_ref().is_none_or(|mine| other.0 < mine.0)
    {
        *mine = Some(other);
    }
}

fn least(a: Option<i64>, b: Option<i64>) -> Option<i64> {
    a.into_iter().chain(b).min()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KINDS: [&str; 8] = [
        "session.connect",
        "session.closed",
        "login.success",
        "login.failed",
        "client.version",
        "client.kex",
        "command.input",
        "other",
    ];

    fn record(kind: usize, second: u32, n: u8) -> Record {
        let when = if second == 0 { "never".to_owned() } else { format!("2024-01-01T00:00:{second:02}Z") };
        let line = format!(
            r#"{{"eventid":"cowrie.{}","session":"s","timestamp":"{when}","src_ip":"10.0.0.{n}","src_port":{n},"protocol":"p{n}","version":"v{n}","hassh":"h{n}","username":"u{n}","duration":{n}}}"#,
            KINDS[kind]
        );
        Record::read(&"x".parse().unwrap(), line.as_bytes()).unwrap()
    }

    fn fold(records: &[Record]) -> SessionDelta {
        let deltas = records.iter().filter_map(SessionDelta::of);
        deltas
            .reduce(|mut sum, delta| {
                sum.merge(delta);
                sum
            })
            .unwrap()
    }

    proptest! {
        #[test]
        fn any_order_and_batching_gives_the_same_session(
            (events, shuffled) in prop::collection::vec((0..KINDS.len(), 0..4u32, 0..=255u8), 1..24)
                .prop_flat_map(|events| (Just(events.clone()), Just(events).prop_shuffle())),
            cut in 0..24usize,
        ) {
            let build = |list: &[(usize, u32, u8)]| list.iter().map(|&(k, s, n)| record(k, s, n)).collect::<Vec<_>>();
            let (records, shuffled) = (build(&events), build(&shuffled));
            let (left, right) = shuffled.split_at(cut.min(shuffled.len()));
            let mut parts = [right, left].into_iter().filter(|part| !part.is_empty()).map(fold);
            let mut sum = parts.next().unwrap();
            parts.for_each(|part| sum.merge(part));
            prop_assert_eq!(sum, fold(&records));
        }
    }
}
