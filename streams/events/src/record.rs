//! An event as Postgres stores it, with the fields that the derived tables need.

use std::{borrow::Cow, net::IpAddr};

use serde::{Deserializer, de};
use serde_json::value::RawValue;

use crate::{
    EventId, SensorId, Unusable,
    json::{self, Key},
    time,
};

/// A completely parsed event. Texts contain no U+0000.
#[derive(Clone, Debug)]
pub struct Record {
    pub id: EventId,
    /// The configured sensor, never taken from the log.
    pub sensor: SensorId,
    /// As logged, never empty.
    pub eventid: String,
    /// `None` when absent, empty or not a string.
    pub session: Option<String>,
    /// Microseconds since 1970, UTC; `None` when unreadable or outside 2015–2099.
    pub ts: Option<i64>,
    /// `None` when the logged text is not an address. An IPv4-mapped IPv6 address becomes IPv4; a zone id is
    /// dropped.
    pub src_ip: Option<IpAddr>,
    /// JSON that `jsonb` accepts; differs from the line only if `exact` is false.
    pub payload: String,
    /// Whether `jsonb` keeps every value of the line.
    pub exact: bool,
    /// Length of the line in bytes.
    pub length: u64,
    /// `ssh`, `telnet`, or as logged.
    pub protocol: Option<String>,
    pub src_port: Option<u16>,
    /// `version` without the Python repr around it.
    pub version: Option<String>,
    pub hassh: Option<String>,
    pub username: Option<String>,
    pub password: Option<String>,
    /// `duration_ms`, or `duration` in seconds, as milliseconds.
    pub duration_ms: Option<i64>,
    /// `input` of command.input.
    pub command: Option<String>,
    /// `shasum` of session.file_download and session.file_upload.
    pub shasum: Option<String>,
    /// `dst_ip:dst_port` of direct-tcpip.request; only `dst_ip` when the port is not a 32-bit integer.
    pub forward: Option<String>,
}

impl Record {
    /// Parses a line of a sensor. Accepts exactly what [`crate::Envelope::read`] accepts.
    pub fn read(sensor: &SensorId, line: &[u8]) -> Result<Self, Unusable> {
        let text = std::str::from_utf8(line).map_err(|e| Unusable::NotUtf8(e.to_string()))?;
        let storable = json::storable(text);
        let fields =
            parse(&storable).map_err(|error| match serde_json::from_str::<de::IgnoredAny>(text) {
                Ok(_) => Unusable::NotAnObject,
                Err(_) => Unusable::NotJson(error.to_string()),
            })?;
        let eventid = fields.eventid.and_then(json::filled).ok_or(Unusable::NoEventId)?;
        let kind = eventid.strip_prefix("cowrie.").unwrap_or_default();
        Ok(Self {
            id: EventId::of(sensor, line),
            sensor: sensor.clone(),
            command: fields.input.filter(|_| kind == "command.input").and_then(json::string),
            shasum: fields
                .shasum
                .filter(|_| matches!(kind, "session.file_download" | "session.file_upload"))
                .and_then(json::filled),
            forward: fields
                .dst_ip
                .filter(|_| kind == "direct-tcpip.request")
                .and_then(json::filled)
                .map(|host| target(host, fields.dst_port)),
            eventid,
            session: fields.session.and_then(json::filled),
            ts: fields.timestamp.and_then(json::string).and_then(|text| time::read(&text)),
            src_ip: fields.src_ip.and_then(json::string).and_then(|text| address(&text)),
            exact: matches!(storable, Cow::Borrowed(_)) && !fields.repeated,
            length: line.len() as u64,
            protocol: fields.protocol.and_then(json::filled),
            src_port: fields.src_port.and_then(|raw| raw.get().parse().ok()),
            version: fields.version.and_then(json::string).map(|v| without_repr(&v).to_owned()),
            hassh: fields.hassh.and_then(json::filled),
            username: fields.username.and_then(json::string),
            password: fields.password.and_then(json::string),
            duration_ms: duration_ms(&fields),
            payload: storable.into_owned(),
        })
    }
}

/// Parses an address as logged.
fn address(text: &str) -> Option<IpAddr> {
    let without_zone = text.split('%').next().unwrap_or_default();
    without_zone.parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
}

/// Removes the Python repr around `b'SSH-2.0-Go'` and `'SSH-2.0-Go'`, as some Cowrie versions logged it.
fn without_repr(text: &str) -> &str {
    let quoted = text.strip_prefix('b').unwrap_or(text);
    for quote in ['\'', '"'] {
        if let Some(inner) = quoted.strip_prefix(quote).and_then(|t| t.strip_suffix(quote)) {
            return inner;
        }
    }
    text
}

fn target(host: String, port: Option<&RawValue>) -> String {
    let port =
        port.and_then(|raw| json::string(raw).unwrap_or_else(|| raw.get().to_owned()).parse::<i32>().ok());
    match port {
        Some(port) => format!("{host}:{port}"),
        None => host,
    }
}

/// Milliseconds, from any of the three forms; `None` when negative or over 31 thousand years.
fn duration_ms(fields: &Fields<'_>) -> Option<i64> {
    let of = |raw: Option<&RawValue>, factor: f64| {
        let ms = (raw.and_then(json::number)? * factor).round();
        (0.0..=1e15).contains(&ms).then_some(ms as i64)
    };
    of(fields.duration_ms, 1.0).or_else(|| of(fields.duration, 1000.0))
}

fn parse(text: &str) -> serde_json::Result<Fields<'_>> {
    let mut from = serde_json::Deserializer::from_str(text);
    let fields = from.deserialize_map(Visitor)?;
    from.end()?;
    Ok(fields)
}

#[derive(Default)]
struct Fields<'a> {
    eventid: Option<&'a RawValue>,
    session: Option<&'a RawValue>,
    timestamp: Option<&'a RawValue>,
    src_ip: Option<&'a RawValue>,
    src_port: Option<&'a RawValue>,
    protocol: Option<&'a RawValue>,
    version: Option<&'a RawValue>,
    hassh: Option<&'a RawValue>,
    username: Option<&'a RawValue>,
    password: Option<&'a RawValue>,
    duration: Option<&'a RawValue>,
    duration_ms: Option<&'a RawValue>,
    input: Option<&'a RawValue>,
    shasum: Option<&'a RawValue>,
    dst_ip: Option<&'a RawValue>,
    dst_port: Option<&'a RawValue>,
    /// A key occurs twice.
    repeated: bool,
}

impl<'a> Fields<'a> {
    fn known(&mut self, key: &str) -> Option<&mut Option<&'a RawValue>> {
        Some(match key {
            "eventid" => &mut self.eventid,
            "session" => &mut self.session,
            "timestamp" => &mut self.timestamp,
            "src_ip" => &mut self.src_ip,
            "src_port" => &mut self.src_port,
            "protocol" => &mut self.protocol,
            "version" => &mut self.version,
            "hassh" => &mut self.hassh,
            "username" => &mut self.username,
            "password" => &mut self.password,
            "duration" => &mut self.duration,
            "duration_ms" => &mut self.duration_ms,
            "input" => &mut self.input,
            "shasum" => &mut self.shasum,
            "dst_ip" => &mut self.dst_ip,
            "dst_port" => &mut self.dst_port,
            _ => return None,
        })
    }
}

struct Visitor;

impl<'de> de::Visitor<'de> for Visitor {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<M: de::MapAccess<'de>>(self, mut map: M) -> Result<Fields<'de>, M::Error> {
        let mut fields = Fields::default();
        let mut keys = Vec::with_capacity(24);
        while let Some(Key(key)) = map.next_key()? {
            match fields.known(&key) {
                Some(field) => *field = Some(map.next_value()?),
                None => {
                    map.next_value::<de::IgnoredAny>()?;
                }
            }
            keys.push(key);
        }
        keys.sort_unstable();
        fields.repeated = keys.windows(2).any(|pair| pair[0] == pair[1]);
        Ok(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Record {
        Record::read(&"s".parse().unwrap(), line.as_bytes()).unwrap()
    }

    #[test]
    fn duration_is_read_in_its_three_forms() {
        for (field, ms) in [
            (r#""duration":3.1415"#, Some(3142)),
            (r#""duration":"0.4""#, Some(400)),
            (r#""duration_ms":33613"#, Some(33613)),
            (r#""duration_ms":"x","duration":2"#, Some(2000)),
            (r#""duration":-1"#, None),
            (r#""duration":"inf""#, None),
            (r#""duration":1e300"#, None),
            (r#""duration":[]"#, None),
        ] {
            assert_eq!(
                read(&format!("{{\"eventid\":\"cowrie.session.closed\",{field}}}")).duration_ms,
                ms,
                "{field}"
            );
        }
    }

    #[test]
    fn an_unreadable_address_is_none() {
        for (text, ip) in [
            ("1.2.3.4", Some("1.2.3.4")),
            ("::ffff:172.16.150.3", Some("172.16.150.3")),
            ("fe80::1%eth0", Some("fe80::1")),
            ("2a00:1450:400f:80b::200e", Some("2a00:1450:400f:80b::200e")),
            ("3bac7d1a2c7b06a7", None),
            ("01.2.3.4", None),
            ("", None),
        ] {
            let record = read(&format!("{{\"eventid\":\"cowrie.session.connect\",\"src_ip\":\"{text}\"}}"));
            assert_eq!(record.src_ip.map(|ip| ip.to_string()).as_deref(), ip, "{text}");
        }
    }

    #[test]
    fn the_same_client_has_one_name() {
        for version in ["SSH-2.0-Go", "b'SSH-2.0-Go'", "'SSH-2.0-Go'", "b\\\"SSH-2.0-Go\\\""] {
            let record =
                read(&format!("{{\"eventid\":\"cowrie.client.version\",\"version\":\"{version}\"}}"));
            assert_eq!(record.version.as_deref(), Some("SSH-2.0-Go"));
        }
        assert_eq!(
            read(r#"{"eventid":"cowrie.client.version","version":"'"}"#).version.as_deref(),
            Some("'")
        );
    }

    #[test]
    fn what_jsonb_cannot_give_back_is_marked() {
        assert!(read(r#"{"eventid":"cowrie.x.y","message":[]}"#).exact);
        let nul = read(r#"{"eventid":"cowrie.login.failed","username":"enable\u0000"}"#);
        assert_eq!((nul.exact, nul.username.as_deref()), (false, Some("enable\u{fffd}")));
        assert!(!read(r#"{"eventid":"cowrie.x.y","a":1,"a":2}"#).exact);
    }
}
