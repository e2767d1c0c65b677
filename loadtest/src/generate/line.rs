//! Writes a step as the line of a version of Cowrie.

use super::{
    cowrie::{Cowrie, Order},
    fields::{algorithms, fields},
    json::Json,
    message::message,
    session::{Session, Step},
    time,
};

/// A sensor, as its lines name it.
#[derive(Clone, Debug)]
pub struct Sensor {
    pub name: String,
    pub cowrie: Cowrie,
    pub uuid: String,
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

#[derive(Debug)]
pub struct Writing<'a> {
    pub sensor: &'a Sensor,
    pub session: &'a Session,
    pub step: &'a Step,
    /// When, in microseconds since 1970.
    pub at: i64,
}

impl Writing<'_> {
    fn python2(&self, json: &mut Json) {
        if let (Step::Version, 0) = (self.step, self.session.number % 2) {
            algorithms(self, json);
        }
        json.text("eventid", self.step.eventid());
        if let Step::Login { user, .. } | Step::Fingerprint { user, .. } | Step::KeyLogin { user, .. } =
            self.step
        {
            json.text("username", user);
        }
        json.text("timestamp", &time::written(self.at, true));
        message(json, self.sensor.cowrie, self.session, self.step, &self.sensor.address);
        json.text("system", &self.system());
        json.raw("isError", "0");
        json.text("src_ip", &self.session.source);
        fields(self, json);
        json.text("session", &self.session.id);
        json.text("sensor", &self.sensor.name);
    }

    fn event_first(&self, json: &mut Json) {
        json.text("eventid", self.step.eventid());
        fields(self, json);
        let connect = matches!(self.step, Step::Connect);
        let fetched = matches!(self.step, Step::Download { url: Some(_), .. } | Step::DownloadFailed { .. })
            && self.sensor.cowrie >= Cowrie::V2_5;
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
            json.text("protocol", self.session.protocol());
        }
    }

    fn connection_first(&self, json: &mut Json) {
        json.text("session", &self.session.id);
        json.text("protocol", self.session.protocol());
        json.text("src_ip", &self.session.source);
        json.number("src_port", u64::from(self.session.port));
        if self.step.target().is_none() {
            json.text("dst_ip", &self.sensor.address);
            json.number("dst_port", u64::from(self.session.sensor_port()));
        }
        fields(self, json);
        json.text("eventid", self.step.eventid());
        json.text("sensor", &self.sensor.name);
        json.text("uuid", &self.sensor.uuid);
        json.text("timestamp", &time::written(self.at, false));
        message(json, self.sensor.cowrie, self.session, self.step, &self.sensor.address);
    }

    /// The part of Cowrie that wrote the line, as Twisted names it.
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
            Step::Request { .. } => {
                format!("SSHService 'ssh-connection' on HoneyPotSSHTransport,{number},{source}")
            }
            Step::Data { id, .. } => {
                format!(
                    "SSHChannel cowrie-discarded-direct-tcpip ({id}) on SSHService 'ssh-connection' on HoneyPotSSHTransport,{number},{source}"
                )
            }
            _ => format!(
                "SSHChannel session (0) on SSHService 'ssh-connection' on HoneyPotSSHTransport,{number},{source}"
            ),
        }
    }
}
