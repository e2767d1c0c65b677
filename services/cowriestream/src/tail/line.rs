//! Prints an event as one line of text.

use std::{borrow::Cow, collections::HashMap, net::IpAddr};

use events::{Record, SensorId};
use serde_json::value::RawValue;

use super::describe;

/// Characters of a value that are printed.
const MOST: usize = 200;
/// Characters of a session that are printed.
const SESSION: usize = 8;

/// A parsed event, or a message that is not an event.
pub(super) struct Seen<'a> {
    sensor: &'a SensorId,
    line: &'a [u8],
    record: Option<Record>,
}

/// How a line is formatted.
pub(super) struct Look {
    pub sensor: bool,
    pub date: bool,
    pub color: bool,
}

/// The values of an event by key.
pub(super) struct Fields<'a>(HashMap<Cow<'a, str>, &'a RawValue>);

impl<'a> Seen<'a> {
    pub(super) fn read(sensor: &'a SensorId, line: &'a [u8]) -> Self {
        Self { sensor, line, record: Record::read(sensor, line).ok() }
    }

    pub(super) fn ts(&self) -> Option<i64> {
        self.record.as_ref()?.ts
    }

    pub(super) fn eventid(&self) -> &str {
        self.record.as_ref().map_or("", |record| &record.eventid)
    }

    pub(super) fn src_ip(&self) -> Option<IpAddr> {
        self.record.as_ref()?.src_ip
    }

    pub(super) fn session(&self) -> Option<&str> {
        self.record.as_ref()?.session.as_deref()
    }

    /// One line, safe for a terminal.
    pub(super) fn text(&self, look: &Look) -> String {
        let sensor = if look.sensor { format!("{} ", self.sensor) } else { String::new() };
        let Some(record) = &self.record else {
            return format!(
                "--:--:--.---  {sensor}not an event: {}",
                boot::safe_up_to(&String::from_utf8_lossy(self.line), MOST)
            );
        };
        let at = record.ts.and_then(chrono::DateTime::from_timestamp_micros);
        let at = at.map_or_else(
            || "--:--:--.---".to_owned(),
            |at| at.format(if look.date { "%Y-%m-%d %H:%M:%S%.3f" } else { "%H:%M:%S%.3f" }).to_string(),
        );
        let ip = record.src_ip.map_or_else(|| "-".to_owned(), |ip| ip.to_string());
        let session: String = record.session.as_deref().unwrap_or("-").chars().take(SESSION).collect();
        let protocol = boot::safe_up_to(record.protocol.as_deref().unwrap_or("-"), 6);
        let name = boot::safe_up_to(record.eventid.strip_prefix("cowrie.").unwrap_or(&record.eventid), 40);
        let paint = |code: &str, text: &str| {
            if look.color && !code.is_empty() {
                format!("\u{1b}[{code}m{text}\u{1b}[0m")
            } else {
                text.to_owned()
            }
        };
        let what =
            Fields::read(&record.payload).map(|fields| describe::event(record, &fields)).unwrap_or_default();
        let head = format!("{sensor}{ip:<15} {:<SESSION$} {protocol:<6}", boot::safe(&session));
        let name = paint(describe::color(&record.eventid), &format!("{name:<17}"));
        format!("{} {} {name} {what}", paint("2", &at), paint("2", &head)).trim_end().to_owned()
    }
}

impl<'a> Fields<'a> {
    /// `None` when this is not a JSON object.
    fn read(payload: &'a str) -> Option<Self> {
        serde_json::from_str(payload).map(Self).ok()
    }

    /// A value as text, escaped and shortened; empty when it is missing.
    pub(super) fn text(&self, key: &str) -> String {
        boot::safe_up_to(&self.raw(key), MOST)
    }

    /// The start of a value, escaped.
    pub(super) fn start(&self, key: &str, characters: usize) -> String {
        boot::safe(&self.raw(key).chars().take(characters).collect::<String>())
    }

    /// A value as text, not escaped; empty when it is missing or null.
    pub(super) fn raw(&self, key: &str) -> String {
        let Some(value) = self.0.get(key).map(|value| value.get()) else { return String::new() };
        match serde_json::from_str::<String>(value) {
            Ok(text) => text,
            Err(_) if value == "null" => String::new(),
            Err(_) => value.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tail::json;

    const LOOK: Look = Look { sensor: true, date: false, color: false };

    fn shown(line: &str) -> String {
        Seen::read(&"fra-1".parse().unwrap(), line.as_bytes()).text(&LOOK)
    }

    /// A line with the fields that Cowrie gives every event.
    fn event(rest: &str) -> String {
        format!(
            r#"{{"session":"7a93f0ee5273","protocol":"ssh","src_ip":"198.51.100.7","sensor":"vm","timestamp":"2026-11-23T21:31:50.927176Z","message":"m",{rest}}}"#
        )
    }

    #[test]
    fn an_event_is_one_line_that_says_what_happened() {
        for (rest, what) in [
            (r#""eventid":"cowrie.session.connect","dst_port":2222"#, "session.connect   to port 2222"),
            (
                r#""eventid":"cowrie.login.failed","username":"root","password":"123456""#,
                "login.failed      root/123456",
            ),
            (
                r#""eventid":"cowrie.login.success","username":"root","fingerprint":"ab:cd","type":"ssh-rsa""#,
                "login.success     root with key ssh-rsa ab:cd",
            ),
            (
                r#""eventid":"cowrie.command.input","input":"uname -a\u001b[2J""#,
                "command.input     `uname -a\\u{1b}[2J`",
            ),
            (
                r#""eventid":"cowrie.session.file_download","url":"http://192.0.2.1/x","shasum":"01ba4719c80b6fe911b091a7c05124b64eeece964e09c058ef8f9805daca546b""#,
                "session.file_download http://192.0.2.1/x → sha256 01ba4719c80b…",
            ),
            (
                r#""eventid":"cowrie.direct-tcpip.request","dst_ip":"2001:db8::1","dst_port":80"#,
                "direct-tcpip.request [2001:db8::1]:80",
            ),
            (r#""eventid":"cowrie.client.size","width":80,"height":24"#, "client.size       80x24"),
            (r#""eventid":"cowrie.session.closed","duration_ms":3249"#, "session.closed    after 3.2 s"),
            (r#""eventid":"cowrie.new.kind""#, "new.kind          m"),
        ] {
            assert_eq!(
                shown(&event(rest)),
                format!("21:31:50.927 fra-1 198.51.100.7    7a93f0ee ssh    {what}")
            );
        }
    }

    #[test]
    fn long_values_are_cut_and_what_is_no_event_says_so() {
        let long =
            shown(&event(&format!(r#""eventid":"cowrie.command.input","input":"{}""#, "x".repeat(5000))));
        assert!(long.ends_with("x…(+4800 characters)`"), "{long}");
        assert_eq!(shown("{\"a\":\u{7}}"), "--:--:--.---  fra-1 not an event: {\"a\":\\u{7}}");
    }

    /// Lines as attackers might get them logged: JSON with any content, and any bytes at all.
    fn lines() -> impl Strategy<Value = Vec<u8>> {
        let ids = prop::sample::select(vec![
            "cowrie.login.failed",
            "cowrie.command.input",
            "cowrie.session.file_download",
            "cowrie.direct-tcpip.data",
            "x\u{1b}",
        ]);
        let keys = prop::sample::select(vec![
            "input", "username", "password", "url", "message", "session", "protocol", "shasum", "dst_ip",
            "data", "eventid",
        ]);
        let escapes = prop::sample::select(vec![
            "\\ud800", "\\u0000", "\\u001b", "\\u202e", "\\n", "\\\"", "\u{9b}", "\u{2028}", "\u{7f}", "é",
        ]);
        let value = prop_oneof![
            any::<String>().prop_map(|text| serde_json::Value::from(text).to_string()),
            prop::collection::vec(escapes, 0..8).prop_map(|parts| format!("\"{}\"", parts.concat()))
        ];
        let json = (ids, prop::collection::vec((keys, value), 0..6)).prop_map(|(id, pairs)| {
            let pairs: String = pairs.iter().map(|(key, value)| format!("\"{key}\":{value},")).collect();
            format!("{{{pairs}\"eventid\":{}}}", serde_json::Value::from(id)).into_bytes()
        });
        prop_oneof![json, prop::collection::vec(any::<u8>(), 0..300)]
    }

    proptest! {
        #[test]
        fn no_line_whatever_steers_the_terminal(line in lines()) {
            let sensor = "fra-1".parse().unwrap();
            let text = Seen::read(&sensor, &line).text(&LOOK);
            prop_assert_eq!(boot::safe(&text), text.clone());
            let printed = json::object(&sensor, &line);
            prop_assert!(printed.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{}", printed);
            let object: HashMap<String, &RawValue> = serde_json::from_str(&printed).unwrap();
            if let Some(event) = object.get("event") {
                // Compared without lone surrogates, which Rust strings cannot hold.
                let plain = |json: &str| serde_json::from_str::<serde_json::Value>(&Record::read(&sensor, json.as_bytes()).unwrap().payload).unwrap();
                prop_assert_eq!(plain(event.get()), plain(std::str::from_utf8(&line).unwrap()));
            }
        }
    }
}
