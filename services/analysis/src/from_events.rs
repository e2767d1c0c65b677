//! Builds a data set from events as they occur in logs.

use std::collections::{BTreeMap, HashSet};

use events::{EventId, Record, features::features};
use serde::Deserialize;

use crate::data::{Data, DataBuilder, MOST_INPUTS, Row};

/// Collects events; a duplicate counts once.
#[derive(Debug, Default)]
pub struct Gathered {
    sessions: BTreeMap<(String, String), Vec<Record>>,
    seen: HashSet<EventId>,
}

impl Gathered {
    /// Adds an event. Analyses ignore events without a session.
    pub fn push(&mut self, record: Record) {
        let Some(session) = record.session.clone() else { return };
        if self.seen.insert(record.id) {
            self.sessions.entry((record.sensor.to_string(), session)).or_default().push(record);
        }
    }

    /// Builds the data set of the sessions that began in `range`, in microseconds since 1970. Sessions
    /// without a readable time are left out.
    pub fn build(self, range: std::ops::Range<i64>) -> Data {
        let mut builder = DataBuilder::default();
        for ((sensor, session), mut records) in self.sessions {
            records.sort_by_key(|record| (record.ts.is_none(), record.ts, record.id));
            if let Some(started) = records.iter().find_map(|record| record.ts)
                && range.contains(&started)
            {
                push(&mut builder, &sensor, &session, started, &records);
            }
        }
        builder.build()
    }
}

fn push(builder: &mut DataBuilder, sensor: &str, session: &str, started: i64, records: &[Record]) {
    let features = features(records.iter().collect());
    let of =
        |kinds: &'static [&'static str]| records.iter().filter(move |record| kinds.contains(&kind(record)));
    let urls: Vec<String> = of(&["session.file_download"]).filter_map(url).collect();
    let targets: Vec<String> =
        records.iter().filter(|record| forwards(kind(record))).filter_map(target).take(MOST_INPUTS).collect();
    let keys: Vec<String> = of(&["client.fingerprint"]).filter_map(key).take(MOST_INPUTS).collect();
    let last = records.iter().filter_map(|record| record.ts).max().unwrap_or(started);
    let reported = of(&["session.closed"]).find_map(|record| record.duration_ms);
    builder.push(&Row {
        sensor,
        session,
        source: of(&["session.connect"]).chain(records).find_map(|record| record.src_ip),
        started,
        seconds: reported.map_or((last - started) as f64 / 1e6, |ms| ms as f64 / 1e3),
        client: of(&["client.version"]).find_map(|record| record.version.as_deref()),
        hassh: of(&["client.kex"]).find_map(|record| record.hassh.as_deref()),
        logins: of(&["login.success", "login.failed"])
            .map(|record| {
                (
                    record.username.as_deref().unwrap_or_default(),
                    record.password.as_deref(),
                    kind(record) == "login.success",
                )
            })
            .collect(),
        inputs: records.iter().filter_map(|record| record.command.as_deref()).collect(),
        sequence: features
            .sequence
            .as_ref()
            .map(|sequence| (sequence.fingerprint, sequence.length, sequence.commands.as_str())),
        files: records.iter().filter_map(|record| record.shasum.as_deref()).collect(),
        urls: urls.iter().map(String::as_str).collect(),
        targets: targets.iter().map(String::as_str).collect(),
        keys: keys.iter().map(String::as_str).collect(),
        vector: &features.vector,
    });
}

/// Returns the event id without the prefix `cowrie.`.
fn kind(record: &Record) -> &str {
    record.eventid.strip_prefix("cowrie.").unwrap_or_default()
}

fn url(record: &Record) -> Option<String> {
    #[derive(Deserialize)]
    struct Payload {
        url: Option<serde_json::Value>,
    }
    let payload: Payload = serde_json::from_str(&record.payload).ok()?;
    payload.url?.as_str().filter(|url| !url.is_empty()).map(str::to_owned)
}

/// Whether an event names the target of a forwarded connection.
fn forwards(kind: &str) -> bool {
    kind.starts_with("direct-tcpip.") || kind == "tunnelproxy-tcpip.data"
}

/// `host:port`. The port is a number, or text in some versions of Cowrie.
fn target(record: &Record) -> Option<String> {
    #[derive(Deserialize)]
    struct Payload {
        dst_ip: Option<serde_json::Value>,
        dst_port: Option<serde_json::Value>,
    }
    let payload: Payload = serde_json::from_str(&record.payload).ok()?;
    let (host, port) = (payload.dst_ip?, payload.dst_port?);
    let port =
        port.as_i64().or_else(|| port.as_str()?.parse().ok()).filter(|port| i32::try_from(*port).is_ok())?;
    host.as_str().filter(|host| !host.is_empty()).map(|host| format!("{host}:{port}"))
}

fn key(record: &Record) -> Option<String> {
    #[derive(Deserialize)]
    struct Payload {
        fingerprint: Option<serde_json::Value>,
    }
    let payload: Payload = serde_json::from_str(&record.payload).ok()?;
    payload.fingerprint?.as_str().filter(|key| !key.is_empty()).map(str::to_owned)
}
