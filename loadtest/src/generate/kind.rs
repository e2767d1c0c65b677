//! What a session is for, told from the events in it, and who makes such sessions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a session does; a log's sessions are told apart by the events in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A connection and nothing in it.
    Knock,
    /// A version, perhaps a key exchange, no login.
    Banner,
    /// Logins, none of them right.
    Guess,
    /// A right login and nothing after it.
    Enter,
    /// Commands.
    Shell,
    /// Commands that fetch something.
    Download,
    /// Commands that leave something in a file.
    Plant,
    /// Forwarded connections.
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

    /// The event that such a session may hold many of.
    pub fn repeats(self) -> &'static str {
        match self {
            Self::Proxy => "direct-tcpip.request",
            Self::Shell | Self::Download | Self::Plant | Self::Human => "command.input",
            Self::Guess => "login.failed",
            Self::Knock | Self::Banner | Self::Enter => "session.connect",
        }
    }
}

/// Who is behind an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Looks at ports and banners.
    Scanner,
    /// Tries lists of credentials over SSH.
    BruteForcer,
    /// Telnet: logs in, loads and starts a binary, as Mirai does.
    Mirai,
    /// Logs in and looks around.
    Recon,
    /// Leaves its SSH key.
    Planter,
    /// Fetches malware.
    Downloader,
    /// Forwards its traffic through the sensor.
    Proxy,
    /// Types.
    Human,
}

impl Profile {
    /// All of them.
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

    /// Who makes sessions of this kind.
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
