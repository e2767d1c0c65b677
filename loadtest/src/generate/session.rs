//! A session: what happens in it, and when.

use std::{borrow::Cow, sync::Arc};

use super::{profile::Tool, random::Random};

/// Text that is mostly known beforehand.
pub type Text = Cow<'static, str>;

/// One event.
#[derive(Clone, Debug)]
pub enum Step {
    Connect,
    Version,
    Kex,
    ServerKex,
    Malformed,
    Option { command: &'static str, name: &'static str, byte: u8 },
    Exploit { value: Text },
    Fingerprint { user: Text, key: u64 },
    KeyLogin { user: Text, key: u64 },
    Login { user: Text, password: Text, success: bool },
    Size { width: u16, height: u16 },
    Var { name: &'static str, value: &'static str },
    Params { arch: &'static str },
    LogOpen { index: usize },
    LogClosed { index: usize, size: u64, sum: u64, seconds: f64 },
    Command { input: Text },
    Found { input: Text },
    NotFound { input: Text },
    Input { input: Text },
    Download { url: Option<Text>, destination: Text, sum: u64, duplicate: bool },
    DownloadFailed { url: Text },
    Upload { name: Text, sum: u64 },
    Request { to: Target, from_port: u16 },
    Data { to: Target, id: usize, payload: Arc<str> },
    Ja4 { to: Target, print: Text },
    Ja4h { to: Target, print: Text },
    Closed,
}

impl Step {
    /// Its name in the log.
    pub fn eventid(&self) -> &'static str {
        match self {
            Self::Connect => "cowrie.session.connect",
            Self::Version => "cowrie.client.version",
            Self::Kex => "cowrie.client.kex",
            Self::ServerKex => "cowrie.server.kex",
            Self::Malformed => "cowrie.client.malformed_packet",
            Self::Option { .. } => "cowrie.telnet.option",
            Self::Exploit { .. } => "cowrie.telnet.exploit_attempt",
            Self::Fingerprint { .. } => "cowrie.client.fingerprint",
            Self::KeyLogin { .. } | Self::Login { success: false, .. } => "cowrie.login.failed",
            Self::Login { .. } => "cowrie.login.success",
            Self::Size { .. } => "cowrie.client.size",
            Self::Var { .. } => "cowrie.client.var",
            Self::Params { .. } => "cowrie.session.params",
            Self::LogOpen { .. } => "cowrie.log.open",
            Self::LogClosed { .. } => "cowrie.log.closed",
            Self::Command { .. } => "cowrie.command.input",
            Self::Found { .. } => "cowrie.command.success",
            Self::NotFound { .. } => "cowrie.command.failed",
            Self::Input { .. } => "cowrie.session.input",
            Self::Download { .. } => "cowrie.session.file_download",
            Self::DownloadFailed { .. } => "cowrie.session.file_download.failed",
            Self::Upload { .. } => "cowrie.session.file_upload",
            Self::Request { .. } => "cowrie.direct-tcpip.request",
            Self::Data { .. } => "cowrie.direct-tcpip.data",
            Self::Ja4 { .. } => "cowrie.direct-tcpip.ja4",
            Self::Ja4h { .. } => "cowrie.direct-tcpip.ja4h",
            Self::Closed => "cowrie.session.closed",
        }
    }

    /// Where it goes through the sensor.
    pub fn target(&self) -> Option<&Target> {
        match self {
            Self::Request { to, .. }
            | Self::Data { to, .. }
            | Self::Ja4 { to, .. }
            | Self::Ja4h { to, .. } => Some(to),
            _ => None,
        }
    }
}

/// Where a forwarded connection goes.
#[derive(Clone, Debug)]
pub struct Target {
    /// Any string.
    pub host: Text,
    /// Any port.
    pub port: u16,
}

/// What a client is.
#[derive(Clone, Debug)]
pub enum Client {
    /// Speaks SSH.
    Ssh(&'static Tool),
    /// Sends this instead of, or as, a version.
    Other(Text),
}

impl Client {
    /// The version as sent.
    pub fn version(&self) -> &str {
        match self {
            Self::Ssh(tool) => &tool.version,
            Self::Other(version) => version,
        }
    }
}

/// One connection to one sensor.
#[derive(Clone, Debug)]
pub struct Session {
    /// Which of the plan's sensors.
    pub sensor: usize,
    /// Its name in the log.
    pub id: String,
    /// The address.
    pub source: Arc<str>,
    /// The port at the address.
    pub port: u16,
    /// Over Telnet, not SSH.
    pub telnet: bool,
    /// What connects.
    pub client: Client,
    /// How many its sensor had before.
    pub number: u32,
    /// In microseconds since 1970.
    pub started: i64,
    /// In microseconds since it started, in order.
    pub steps: Vec<(i64, Step)>,
    /// The first step that has not happened.
    pub next: usize,
}

impl Session {
    /// As logged.
    pub fn protocol(&self) -> &'static str {
        if self.telnet { "telnet" } else { "ssh" }
    }

    /// Where the sensor listens.
    pub fn sensor_port(&self) -> u16 {
        if self.telnet { 2223 } else { 2222 }
    }

    /// When the next step happens.
    pub fn at(&self) -> Option<i64> {
        self.steps.get(self.next).map(|(offset, _)| self.started + offset)
    }

    /// A session that is open when the log starts is in it from its connection on, but without most of what
    /// came before: so the log has its rate from the start.
    pub fn not_before(&mut self, start: i64, random: &mut Random) {
        let late = start - self.started;
        if late <= 0 {
            return;
        }
        let whole = self.steps.last().map_or(0, |(offset, _)| *offset);
        let first = random.below((whole - late).clamp(1, GREETED) as usize) as i64;
        let needed = |step: &Step| {
            matches!(
                step,
                Step::Connect
                    | Step::Version
                    | Step::Kex
                    | Step::Login { success: true, .. }
                    | Step::Params { .. }
                    | Step::LogOpen { .. }
            )
        };
        self.steps.retain(|(offset, step)| *offset >= late || needed(step));
        self.steps.iter_mut().for_each(|(offset, _)| *offset = (*offset - late - first).max(0));
        self.started = start + first;
        self.part();
    }

    /// No two steps at once: no line is written twice.
    pub fn part(&mut self) {
        let mut last = -1;
        for (offset, _) in &mut self.steps {
            *offset = (*offset).max(last + 1);
            last = *offset;
        }
    }
}

/// Sessions that are open when a log starts connect within this time, in microseconds.
const GREETED: i64 = 600_000_000;
