//! The truth about a log with plants.

use serde::{Deserialize, Serialize};

/// Sensor and session id.
pub type Name = (String, String);

/// Everything that was planted into a log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Truth {
    pub seed: u64,
    /// Start of the span, in microseconds since 1970.
    pub start: i64,
    /// End of the span, exclusive.
    pub end: i64,
    /// Groups of sources that act together.
    pub campaigns: Vec<Campaign>,
    /// Anomalous sessions, by sensor and session.
    pub anomalies: Vec<Anomaly>,
    /// Addresses of the crowd that comes on busy days: unrelated to each other.
    pub crowd: Vec<String>,
    /// Groups of addresses that look alike but do not act together.
    #[serde(default)]
    pub decoys: Vec<Decoys>,
}

/// Addresses that look alike but do not act together: no finding should group them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decoys {
    /// `guessers`, `family` or `scanners`.
    pub what: String,
    /// Addresses with a session in the log, sorted.
    pub addresses: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Campaign {
    /// `snowshoe-1`.
    pub id: String,
    /// `snowshoe` or `botnet`.
    pub kind: String,
    /// How they act together. Snowshoe: `list`, `slices`, `template`, `rhythm` or `neighbours`; botnet: what
    /// its members share.
    pub mechanism: String,
    /// Two tools, the members split between them.
    pub hybrid: bool,
    /// Other properties that were drawn: the client, where the addresses are.
    pub traits: Vec<String>,
    /// Addresses with a session in the log, sorted.
    pub addresses: Vec<String>,
    /// In order of time.
    pub sessions: Vec<Name>,
    /// Start of the first session, in microseconds since 1970.
    pub from: i64,
    /// Start of the last session.
    pub to: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Anomaly {
    pub sensor: String,
    pub session: String,
    /// `intruder`, `emerging`, `payload` or `odd`.
    pub class: String,
    /// The type within its class.
    pub what: String,
}
