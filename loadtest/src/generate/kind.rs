//! The kind of a session, derived from its events, and the attackers that make such sessions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The purpose of a session, derived from its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A connection without events.
    Knock,
    /// A version, perhaps a key exchange, no login.
    Banner,
    /// Logins, all of them failed.
    Guess,
    /// A successful login, and nothing after it.
    Enter,
    Shell,
    Download,
    /// Commands that write something to a file.
    Plant,
    Proxy,
    /// A terminal with a size or an environment, or an upload.
    Human,
}

impl Kind {
    /// The kind of a session with these events, by event id without `cowrie.`.
    pub fn of(events: &BTreeMap<String, u32>, planted: bool) -> Self {
        let has = |name: &str| events.contains_key(name);
        if has("direct-tcpip.request") || has("direct-tcpip.data") {
            Self::Proxy
        } else if has("client.size") || has("client.var") || has("session.file_upload") {
            Self::Human
        } else if planted {
            Self::Plant
        } else if has("session.file_download") || has("session.file_download.failed") {
            Self::Download
        } else if has("command.input") {
            Self::Shell
        } else if has("login.success") {
            Self::Enter
        } else if has("login.failed") {
            Self::Guess
        } else if has("client.version") {
            Self::Banner
        } else {
            Self::Knock
        }
    }

    /// The event that such a session may contain many times.
    pub fn repeats(self) -> &'static str {
        match self {
            Self::Proxy => "direct-tcpip.request",
            Self::Shell | Self::Download | Self::Plant | Self::Human => "command.input",
            Self::Guess => "login.failed",
            Self::Knock | Self::Banner | Self::Enter => "session.connect",
        }
    }
}

/// The kind of attacker behind an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    Scanner,
    /// Tries lists of credentials over SSH.
    BruteForcer,
    /// Logs in over Telnet, loads and starts a binary, like Mirai.
    Mirai,
    /// Logs in and explores the system.
    Recon,
    Planter,
    Downloader,
    /// Forwards its traffic through the sensor.
    Proxy,
    Human,
}

impl Profile {
    pub const ALL: [Self; 8] = [
        Self::Scanner,
        Self::BruteForcer,
        Self::Mirai,
        Self::Recon,
        Self::Planter,
        Self::Downloader,
        Self::Proxy,
        Self::Human,
    ];

    /// Returns the attackers that make sessions of this kind.
    pub fn of(kind: Kind, telnet: bool) -> Self {
        match kind {
            _ if telnet => Self::Mirai,
            Kind::Knock | Kind::Banner => Self::Scanner,
            Kind::Guess | Kind::Enter => Self::BruteForcer,
            Kind::Shell => Self::Recon,
            Kind::Plant => Self::Planter,
            Kind::Download => Self::Downloader,
            Kind::Proxy => Self::Proxy,
            Kind::Human => Self::Human,
        }
    }
}
