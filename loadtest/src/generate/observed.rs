//! The sessions of a log, as far as statistics need them.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::kind::Kind;

#[derive(Debug, Default)]
pub struct Seen {
    pub source: String,
    /// Telnet instead of SSH.
    pub telnet: bool,
    /// Number of its events by event id without `cowrie.`.
    pub events: BTreeMap<String, u32>,
    /// Duration as logged at its end.
    pub seconds: Option<f64>,
    /// It redirected something into a file.
    planted: bool,
    /// Credentials in order of use.
    pub credentials: Vec<(String, String)>,
    /// The client's version without a Python repr around it.
    pub version: Option<String>,
    pub hassh: Option<String>,
}

impl Seen {
    pub fn kind(&self) -> Kind {
        Kind::of(&self.events, self.planted)
    }

    pub fn count(&self, name: &str) -> u32 {
        self.events.get(name).copied().unwrap_or(0)
    }

    fn add(&mut self, name: &str, event: &Value) {
        *self.events.entry(name.to_owned()).or_default() += 1;
        let text = |key: &str| event[key].as_str();
        if self.source.is_empty() {
            self.source = text("src_ip").unwrap_or_default().to_owned();
        }
        self.telnet |= text("protocol") == Some("telnet")
            || text("system").is_some_and(|system| system.contains("elnet"));
        match name {
            "session.closed" => self.seconds = seconds(event),
            "session.file_download" => self.planted |= event["url"].is_null(),
            "client.version" => self.version = text("version").map(|version| unquoted(version).to_owned()),
            "client.kex" => self.hassh = text("hassh").map(str::to_owned),
            "login.success" | "login.failed" => {
                if let (Some(user), Some(password)) = (text("username"), text("password")) {
                    self.credentials.push((user.to_owned(), password.to_owned()));
                }
            }
            _ => (),
        }
    }
}

#[derive(Debug, Default)]
pub struct Observed {
    /// By sensor and session, as logged.
    pub sessions: HashMap<(String, String), Seen>,
    /// Lengths of the lines, as read.
    pub lengths: Vec<u32>,
    /// Times of the connections of each sensor, in microseconds since 1970.
    pub connections: BTreeMap<String, Vec<i64>>,
}

impl Observed {
    /// Adds a line. Returns the event if the line is one.
    pub fn add(&mut self, line: &[u8]) -> Option<Value> {
        let event: Value = serde_json::from_slice(line).ok()?;
        let text = |key: &str| event[key].as_str();
        let name = text("eventid")?.strip_prefix("cowrie.")?.to_owned();
        let sensor = text("sensor").unwrap_or_default().to_owned();
        self.lengths.push(line.len() as u32);
        if name == "session.connect"
            && let Some(at) = text("timestamp").and_then(events::time::read)
        {
            self.connections.entry(sensor.clone()).or_default().push(at);
        }
        let session = text("session")?.to_owned();
        self.sessions.entry((sensor, session)).or_default().add(&name, &event);
        Some(event)
    }
}

/// Reads a duration in any of its three forms.
fn seconds(event: &Value) -> Option<f64> {
    match (&event["duration_ms"], &event["duration"]) {
        (Value::Number(millis), _) => Some(millis.as_f64()? / 1000.0),
        (_, Value::Number(seconds)) => seconds.as_f64(),
        (_, Value::String(seconds)) => seconds.parse().ok(),
        _ => None,
    }
}

/// Removes `b'…'` or `'…'` around a text.
pub fn unquoted(text: &str) -> &str {
    let inner = text.strip_prefix('b').unwrap_or(text);
    inner.strip_prefix('\'').and_then(|inner| inner.strip_suffix('\'')).unwrap_or(text)
}
