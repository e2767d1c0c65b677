//! A step as the line that a version of Cowrie writes for it.

use std::borrow::Cow;

use super::{
    cowrie::{Cowrie, Order},
    json::{Json, hex, repr},
    message::message,
    profile::LEARNT,
    session::{Client, Session, Step, Target},
    time,
};

/// A sensor as its lines name it.
#[derive(Clone, Debug)]
pub struct Sensor {
    /// `sensor-01` …
    pub name: String,
    /// What it runs.
    pub cowrie: Cowrie,
    /// Of its installation.
    pub uuid: String,
    /// Its own address.
    pub address: String,
}

/// The line without its newline.
pub fn line(sensor: &Sensor, session: &Session, step: &Step, at: i64) -> Vec<u8> {
    let writing = Writing { sensor, session, step, at };
    let mut json = Json::new(sensor.cowrie == Cowrie::V1_3);
    match sensor.cowrie.order() {
        Order::Python2 => writing.python2(&mut json),
        Order::EventFirst => writing.event_first(&mut json),
        Order::ConnectionFirst => writing.connection_first(&mut json),
    }
    json.end()
}

struct Writing<'a> {
    sensor: &'a Sensor,
    session: &'a Session,
    step: &'a Step,
    at: i64,
}

impl Writing<'_> {
    fn python2(&self, json: &mut Json) {
        if let (Step::Version, 0) = (self.step, self.session.number % 2) {
            self.algorithms(json);
        }
        json.text("eventid", eventid(self.step));
        if let Step::Login { user, .. } | Step::Fingerprint { user, .. } | Step::KeyLogin { user, .. } = self.step {
            json.text("username", user);
        }
        json.text("timestamp", &time::written(self.at, true));
        message(json, self.sensor.cowrie, self.session, self.step, &self.sensor.address);
        json.text("system", &self.system());
        json.raw("isError", "0");
        json.text("src_ip", &self.session.source);
        self.fields(json);
        json.text("session", &self.session.id);
        json.text("sensor", &self.sensor.name);
    }

    fn event_first(&self, json: &mut Json) {
        json.text("eventid", eventid(self.step));
        self.fields(json);
        let connect = matches!(self.step, Step::Connect);
        let fetched = matches!(self.step, Step::Download { url: Some(_), .. } | Step::DownloadFailed { .. }) && self.sensor.cowrie >= Cowrie::V2_5;
        if !fetched {
            message(json, self.sensor.cowrie, self.session, self.step, &self.sensor.address);
        }
        json.text("sensor", &self.sensor.name);
        if self.sensor.cowrie.has_uuid() {
            json.text("uuid", &self.sensor.uuid);
        }
        json.text("timestamp", &time::written(self.at, false));
        if fetched {
            message(json, self.sensor.cowrie, self.session, self.step, &self.sensor.address);
        }
        if !matches!(self.step, Step::Connect | Step::Request { .. }) {
            json.text("src_ip", &self.session.source);
        }
        if !connect {
            json.text("session", &self.session.id);
        }
        if self.sensor.cowrie.has_uuid() && !connect {
            json.text("protocol", self.protocol());
        }
    }

    fn connection_first(&self, json: &mut Json) {
        json.text("session", &self.session.id);
        json.text("protocol", self.protocol());
        json.text("src_ip", &self.session.source);
        json.number("src_port", u64::from(self.session.port));
        if self.target().is_none() {
            json.text("dst_ip", &self.sensor.address);
            json.number("dst_port", u64::from(self.port()));
        }
        self.fields(json);
        json.text("eventid", eventid(self.step));
        json.text("sensor", &self.sensor.name);
        json.text("uuid", &self.sensor.uuid);
        json.text("timestamp", &time::written(self.at, false));
        message(json, self.sensor.cowrie, self.session, self.step, &self.sensor.address);
    }

    fn protocol(&self) -> &'static str {
        if self.session.telnet { "telnet" } else { "ssh" }
    }

    fn port(&self) -> u16 {
        if self.session.telnet { 2223 } else { 2222 }
    }

    fn target(&self) -> Option<&Target> {
        match self.step {
            Step::Request { to, .. } | Step::Data { to, .. } | Step::Ja4 { to, .. } | Step::Ja4h { to, .. } => Some(to),
            _ => None,
        }
    }

    /// What the event says, beyond what every event does.
    fn fields(&self, json: &mut Json) {
        let cowrie = self.sensor.cowrie;
        if let Some(to) = self.target() {
            json.text("dst_ip", &to.host);
            json.number("dst_port", u64::from(to.port));
        }
        match self.step {
            Step::Connect => self.connection(json),
            Step::Version => {
                json.text("version", &version(cowrie, self.session.client.version()));
                if !cowrie.has_kex() && self.session.number % 2 == 1 {
                    self.algorithms(json);
                }
            }
            Step::Kex => self.algorithms(json),
            Step::ServerKex => json.list("algorithms", "ssh-rsa,ecdsa-sha2-nistp256,ssh-ed25519"),
            Step::Login { user, password, .. } => {
                if cowrie > Cowrie::V1_3 {
                    json.text("username", &shown(cowrie, user));
                }
                json.text("password", &shown(cowrie, password));
            }
            Step::Fingerprint { user, key } | Step::KeyLogin { user, key } => public_key(json, cowrie, user, *key),
            Step::Closed => duration(json, cowrie, self.session.telnet, (self.at - self.session.started) as f64 / 1e6),
            Step::LogOpen { index } => json.text("ttylog", &self.ttylog(*index)),
            Step::LogClosed { index, size, sum, seconds } => self.log_closed(json, *index, *size, *sum, *seconds),
            Step::Request { from_port, .. } => match cowrie.order() {
                Order::ConnectionFirst => {
                    json.text("orig_ip", "127.0.0.1");
                    json.number("orig_port", u64::from(*from_port));
                }
                Order::EventFirst => {
                    json.text("src_ip", &self.session.source);
                    json.number("src_port", u64::from(*from_port));
                }
                Order::Python2 => json.number("src_port", u64::from(*from_port)),
            },
            Step::Data { payload, id, .. } => {
                json.text("data", payload);
                if cowrie.has_kex() {
                    json.number("id", *id as u64);
                }
            }
            _ => others(json, cowrie, self.step),
        }
    }

    fn connection(&self, json: &mut Json) {
        let everywhere = self.sensor.cowrie.order() == Order::ConnectionFirst;
        if everywhere {
            return;
        }
        if self.sensor.cowrie.has_kex() {
            json.text("src_ip", &self.session.source);
        }
        json.number("src_port", u64::from(self.session.port));
        json.text("dst_ip", &self.sensor.address);
        json.number("dst_port", u64::from(self.port()));
        if self.sensor.cowrie.has_kex() {
            json.text("session", &self.session.id);
        }
        if self.sensor.cowrie.has_kex() || self.session.number % 2 == 1 {
            json.text("protocol", self.protocol());
        }
    }

    fn algorithms(&self, json: &mut Json) {
        let tool = match self.session.client {
            Client::Ssh(tool) => tool,
            Client::Other(_) => &LEARNT.tools[0],
        };
        let mut sets = tool.algorithms.split(';');
        let mut next = || sets.next().unwrap_or_default();
        let (exchange, encryption, integrity, compression) = (next(), next(), next(), next());
        if self.sensor.cowrie.has_kex() {
            json.text("hassh", &tool.hassh);
            json.text("hasshAlgorithms", &tool.algorithms);
        }
        json.list("kexAlgs", exchange);
        json.list("keyAlgs", &tool.keys);
        json.list("encCS", encryption);
        json.list("macCS", integrity);
        json.list("compCS", compression);
        if self.sensor.cowrie.has_kex() {
            json.list("langCS", "");
        }
    }

    fn ttylog(&self, index: usize) -> String {
        format!("log/tty/{}-{}-{index}{}.log", time::compact(self.session.started), self.session.id, if self.session.telnet { 'i' } else { 'e' })
    }

    fn log_closed(&self, json: &mut Json, index: usize, size: u64, sum: u64, seconds: f64) {
        let cowrie = self.sensor.cowrie;
        if !cowrie.has_kex() {
            json.text("ttylog", &self.ttylog(index));
            duration(json, cowrie, false, seconds);
            return json.number("size", size);
        }
        let sum = hex(sum, 64);
        json.parts("ttylog", &["var/lib/cowrie/tty/", &sum]);
        json.number("size", size);
        json.text("shasum", &sum);
        json.raw("duplicate", if size.is_multiple_of(3) { "true" } else { "false" });
        duration(json, cowrie, self.session.telnet, seconds);
    }

    /// What part of Cowrie wrote it, as Twisted named it.
    fn system(&self) -> String {
        let (number, source) = (self.session.number, &self.session.source);
        if self.session.telnet {
            return match self.step {
                Step::Connect => "cowrie.telnet.transport.HoneyPotTelnetFactory".to_owned(),
                _ => format!("CowrieTelnetTransport,{number},{source}"),
            };
        }
        match self.step {
            Step::Connect => "cowrie.ssh.factory.CowrieSSHFactory".to_owned(),
            Step::Version | Step::Closed => format!("HoneyPotSSHTransport,{number},{source}"),
            Step::Login { .. } | Step::KeyLogin { .. } | Step::Fingerprint { .. } => {
                format!("SSHService 'ssh-userauth' on HoneyPotSSHTransport,{number},{source}")
            }
            Step::Request { .. } => format!("SSHService 'ssh-connection' on HoneyPotSSHTransport,{number},{source}"),
            Step::Data { id, .. } => {
                format!("SSHChannel cowrie-discarded-direct-tcpip ({id}) on SSHService 'ssh-connection' on HoneyPotSSHTransport,{number},{source}")
            }
            _ => format!("SSHChannel session (0) on SSHService 'ssh-connection' on HoneyPotSSHTransport,{number},{source}"),
        }
    }
}

fn others(json: &mut Json, cowrie: Cowrie, step: &Step) {
    match step {
        Step::Option { command, name, byte } => {
            json.text("command", command);
            json.text("option_name", name);
            json.number("option_byte", u64::from(*byte));
        }
        Step::Exploit { value } => {
            json.text("cve", "CVE-2026-24061");
            json.text("name", "USER");
            json.text("value", value);
        }
        Step::Malformed => {
            json.number("messagenum", 71);
            json.number("datalen", 21);
            json.text("data", "474554202f20485454502f312e310d0a0d0a000000");
        }
        Step::Size { width, height } => {
            json.number("width", u64::from(*width));
            json.number("height", u64::from(*height));
        }
        Step::Var { name, value } => {
            json.text("name", name);
            json.text("value", value);
        }
        Step::Params { arch } => json.text("arch", arch),
        Step::Command { input } | Step::Found { input } | Step::NotFound { input } => json.text("input", input),
        Step::Input { input } => {
            json.text("realm", "cat");
            json.text("input", input);
        }
        Step::Download { url, destination, sum, duplicate } => {
            let sum = hex(*sum, 64);
            if let Some(url) = url {
                json.text("url", url);
            } else if cowrie.has_kex() {
                json.raw("duplicate", if *duplicate { "true" } else { "false" });
            }
            json.parts("outfile", &[downloads(cowrie), &sum]);
            json.text("shasum", &sum);
            if url.is_none() && cowrie.has_kex() {
                json.text("destfile", destination);
            }
        }
        Step::DownloadFailed { url } => json.text("url", url),
        Step::Upload { name, sum } => {
            let sum = hex(*sum, 64);
            json.text("filename", name);
            json.parts("outfile", &[downloads(cowrie), &sum]);
            json.text("shasum", &sum);
        }
        Step::Ja4 { print, .. } => json.text("ja4", print),
        Step::Ja4h { print, .. } => json.text("ja4h", print),
        _ => (),
    }
}

/// Where downloads are kept.
pub fn downloads(cowrie: Cowrie) -> &'static str {
    if cowrie.has_kex() { "var/lib/cowrie/downloads/" } else { "dl/" }
}

fn public_key(json: &mut Json, cowrie: Cowrie, user: &str, key: u64) {
    if cowrie > Cowrie::V1_3 {
        json.text("username", &shown(cowrie, user));
    }
    json.text("fingerprint", &fingerprint(key));
    if cowrie.has_kex() {
        json.parts("key", &["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI", &hex(key, 43)]);
        json.text("type", "ssh-ed25519");
    }
}

/// `d1:28:…`, of a key.
pub fn fingerprint(key: u64) -> String {
    let digits = hex(key ^ 0x55, 32);
    (0..16).map(|i| &digits[2 * i..2 * i + 2]).collect::<Vec<_>>().join(":")
}

/// In the form of the version.
fn duration(json: &mut Json, cowrie: Cowrie, telnet: bool, seconds: f64) {
    if cowrie >= Cowrie::V3_0_4 {
        json.number("duration_ms", (seconds * 1000.0) as u64);
    } else if cowrie == Cowrie::V2_8 && !telnet {
        json.text("duration", &format!("{seconds:.1}"));
    } else {
        json.raw("duration", &format!("{:?}", seconds + 0.000_000_3));
    }
}

/// The client's version as logged.
pub fn version(cowrie: Cowrie, version: &str) -> Cow<'_, str> {
    if cowrie == Cowrie::V1_6 { Cow::Owned(format!("b'{}'", repr(version.as_bytes()))) } else { shown(cowrie, version) }
}

/// The newest versions log printable ASCII only.
pub fn shown(cowrie: Cowrie, text: &str) -> Cow<'_, str> {
    let plain = |c: u8| matches!(c, b' '..=b'~') && c != b'\\';
    if cowrie < Cowrie::V3_0_12 || text.bytes().all(plain) { Cow::Borrowed(text) } else { Cow::Owned(repr(text.as_bytes()).replace("\\'", "'")) }
}

/// Of a step.
pub fn eventid(step: &Step) -> &'static str {
    match step {
        Step::Connect => "cowrie.session.connect",
        Step::Version => "cowrie.client.version",
        Step::Kex => "cowrie.client.kex",
        Step::ServerKex => "cowrie.server.kex",
        Step::Malformed => "cowrie.client.malformed_packet",
        Step::Option { .. } => "cowrie.telnet.option",
        Step::Exploit { .. } => "cowrie.telnet.exploit_attempt",
        Step::Fingerprint { .. } => "cowrie.client.fingerprint",
        Step::KeyLogin { .. } | Step::Login { success: false, .. } => "cowrie.login.failed",
        Step::Login { .. } => "cowrie.login.success",
        Step::Size { .. } => "cowrie.client.size",
        Step::Var { .. } => "cowrie.client.var",
        Step::Params { .. } => "cowrie.session.params",
        Step::LogOpen { .. } => "cowrie.log.open",
        Step::LogClosed { .. } => "cowrie.log.closed",
        Step::Command { .. } => "cowrie.command.input",
        Step::Found { .. } => "cowrie.command.success",
        Step::NotFound { .. } => "cowrie.command.failed",
        Step::Input { .. } => "cowrie.session.input",
        Step::Download { .. } => "cowrie.session.file_download",
        Step::DownloadFailed { .. } => "cowrie.session.file_download.failed",
        Step::Upload { .. } => "cowrie.session.file_upload",
        Step::Request { .. } => "cowrie.direct-tcpip.request",
        Step::Data { .. } => "cowrie.direct-tcpip.data",
        Step::Ja4 { .. } => "cowrie.direct-tcpip.ja4",
        Step::Ja4h { .. } => "cowrie.direct-tcpip.ja4h",
        Step::Closed => "cowrie.session.closed",
    }
}
