//! A session: its steps and their times.

use std::{borrow::Cow, sync::Arc};

use super::{profile::Tool, random::Random};

/// Text that is mostly static.
pub type Text = Cow<'static, str>;

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
    /// The event id in the log.
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

    /// The target of a forwarded connection.
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

/// The target of a forwarded connection.
#[derive(Clone, Debug)]
pub struct Target {
    pub host: Text,
    pub port: u16,
}

#[derive(Clone, Debug)]
pub enum Client {
    Ssh(&'static Tool),
    /// Sends this text instead of a version.
    Other(Text),
}

impl Client {
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
    /// Index of the sensor in the plan.
    pub sensor: usize,
    /// Its name in the log.
    pub id: String,
    pub source: Arc<str>,
    /// The port at the address.
    pub port: u16,
    pub telnet: bool,
    pub client: Client,
    /// Number of earlier sessions of its sensor.
    pub number: u32,
    /// In microseconds since 1970.
    pub started: i64,
    /// Microseconds since the start of the session, in order.
    pub steps: Vec<(i64, Step)>,
    /// Index of the first step that has not happened.
    pub next: usize,
}

impl Session {
    pub fn protocol(&self) -> &'static str {
        if self.telnet { "telnet" } else { "ssh" }
    }

    /// The port on which the sensor listens.
    pub fn sensor_port(&self) -> u16 {
        if self.telnet { 2223 } else { 2222 }
    }

    /// When the next step happens.
    pub fn at(&self) -> Option<i64> {
        self.steps.get(self.next).map(|(offset, _)| self.started + offset)
    }

    /// A session that is open when the log starts keeps its connection, and loses most of its earlier steps.
    /// So the log has its rate from the start.
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

    /// Makes the times of all steps distinct, so that no line is written twice.
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
