//! What was planted.

use serde::{Deserialize, Serialize};

/// Sensor, session id.
pub type Name = (String, String);

/// All that was planted into a log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Truth {
    /// Of the plan.
    pub seed: u64,
    /// The first moment, in microseconds since 1970.
    pub start: i64,
    /// The moment after the last.
    pub end: i64,
    /// Sources that act together.
    pub campaigns: Vec<Campaign>,
    /// Sessions that are out of the ordinary, by sensor and session.
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
    /// Those with a session in the log, sorted.
    pub addresses: Vec<String>,
}

/// Sources that act together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Campaign {
    /// `snowshoe-1`.
    pub id: String,
    /// `snowshoe` or `botnet`.
    pub kind: String,
    /// How they act together: `list`, `slices`, `template`, `rhythm`, `neighbours` of a snowshoe; what its
    /// members share of a botnet.
    pub mechanism: String,
    /// Two tools, the members split between them.
    pub hybrid: bool,
    /// What else was drawn: the client, where the addresses are.
    pub traits: Vec<String>,
    /// Those with a session in the log, sorted.
    pub addresses: Vec<String>,
    /// In the order of time.
    pub sessions: Vec<Name>,
    /// Start of the first session, in microseconds since 1970.
    pub from: i64,
    /// Start of the last.
    pub to: i64,
}

/// A session that is out of the ordinary.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Anomaly {
    /// The sensor.
    pub sensor: String,
    /// The session id.
    pub session: String,
    /// `intruder`, `emerging`, `payload` or `odd`.
    pub class: String,
    /// Which of its class.
    pub what: String,
}
