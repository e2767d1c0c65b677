//! The part of a line that routing needs, and the check whether the line is an event at all.

use serde::{Deserializer, de};
use serde_json::value::RawValue;

use crate::{
    json::{self, Key},
    time,
};

/// The two fields that routing reads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Envelope {
    /// As logged, never empty.
    pub eventid: String,
    /// Microseconds since 1970, UTC; `None` when unreadable or outside 2015–2099.
    pub ts: Option<i64>,
}

/// Why a line is not an event. The texts contain positions, never content of the line.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unusable {
    #[error("not UTF-8: {0}")]
    NotUtf8(String),
    /// Not a single JSON value.
    #[error("not JSON: {0}")]
    NotJson(String),
    #[error("JSON, but not an object")]
    NotAnObject,
    /// A JSON object without `eventid`, or whose `eventid` is empty or not a string.
    #[error("a JSON object without an eventid")]
    NoEventId,
}

impl Envelope {
    /// Reads the envelope of a line, and validates the whole line: a line that is accepted here can be
    /// stored. If a key occurs twice, the last value counts.
    pub fn read(line: &[u8]) -> Result<Self, Unusable> {
        let text = std::str::from_utf8(line).map_err(|e| Unusable::NotUtf8(e.to_string()))?;
        let error = match parse(text) {
            Ok(envelope) => return envelope.ok_or(Unusable::NoEventId),
            Err(error) => error,
        };
        // A valid line can fail above only because a key or the eventid has a lone surrogate.
        let storable = json::storable(text);
        match parse(&storable) {
            Ok(envelope) => envelope.ok_or(Unusable::NoEventId),
            Err(_) if serde_json::from_str::<de::IgnoredAny>(text).is_ok() => Err(Unusable::NotAnObject),
            Err(_) => Err(Unusable::NotJson(error.to_string())),
        }
    }
}

/// `Err` when this is not a JSON object that Rust strings can represent, `Ok(None)` when it has no event id.
fn parse(text: &str) -> serde_json::Result<Option<Envelope>> {
    let mut from = serde_json::Deserializer::from_str(text);
    let fields = from.deserialize_map(Visitor)?;
    from.end()?;
    let Some(eventid) = fields.eventid else { return Ok(None) };
    let eventid: String = match serde_json::from_str(eventid.get()) {
        Ok(eventid) => eventid,
        Err(error) if eventid.get().starts_with('"') => return Err(error),
        Err(_) => return Ok(None),
    };
    if eventid.is_empty() {
        return Ok(None);
    }
    Ok(Some(Envelope {
        eventid: eventid.replace('\0', "\u{fffd}"),
        ts: fields.timestamp.and_then(json::string).and_then(|text| time::read(&text)),
    }))
}

#[derive(Default)]
struct Fields<'a> {
    eventid: Option<&'a RawValue>,
    timestamp: Option<&'a RawValue>,
}

struct Visitor;

impl<'de> de::Visitor<'de> for Visitor {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<M: de::MapAccess<'de>>(self, mut map: M) -> Result<Fields<'de>, M::Error> {
        let mut fields = Fields::default();
        while let Some(Key(key)) = map.next_key()? {
            match key.as_ref() {
                "eventid" => fields.eventid = Some(map.next_value()?),
                "timestamp" => fields.timestamp = Some(map.next_value()?),
                _ => {
                    map.next_value::<de::IgnoredAny>()?;
                }
            }
        }
        Ok(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_equal_keys_counts_and_escaped_keys_are_keys() {
        let line = br#"{"event\u0069d":"x","eventid":"cowrie.login.failed","session":7,"timestamp":"2018-06-16T03:00:00Z"}"#;
        let read = Envelope::read(line).unwrap();
        assert_eq!(read, Envelope { eventid: "cowrie.login.failed".into(), ts: Some(1_529_118_000_000_000) });
    }

    #[test]
    fn a_lone_surrogate_anywhere_does_not_cost_the_event() {
        for line in [
            r#"{"eventid":"cowrie.x.y","\ud800":1}"#,
            r#"{"eventid":"cowrie.x.y","session":"\udc00"}"#,
            r#"{"eventid":"\ud800"}"#,
        ] {
            assert!(Envelope::read(line.as_bytes()).is_ok(), "{line}");
        }
    }

    #[test]
    fn a_line_that_is_not_an_event_gives_a_reason() {
        let kinds = |line: &[u8]| match Envelope::read(line).unwrap_err() {
            Unusable::NotUtf8(_) => "utf8",
            Unusable::NotJson(_) => "json",
            Unusable::NotAnObject => "object",
            Unusable::NoEventId => "eventid",
        };
        assert_eq!(kinds(b"\xff{}"), "utf8");
        for line in [
            "",
            "{",
            "{}{}",
            "{\"a\":NaN}",
            "{\"eventid\":\"a\"",
            "\u{feff}{\"eventid\":\"a\"}",
            "{\"a\":\"\t\"}",
            "[1,]",
        ] {
            assert_eq!(kinds(line.as_bytes()), "json", "{line}");
        }
        for line in ["[]", "[{\"eventid\":\"cowrie.x.y\"}]", "1", "\"eventid\"", "null"] {
            assert_eq!(kinds(line.as_bytes()), "object", "{line}");
        }
        for line in [
            "{}",
            r#"{"eventid":""}"#,
            r#"{"eventid":1}"#,
            r#"{"eventid":null}"#,
            r#"{"eventid":"a","eventid":[]}"#,
        ] {
            assert_eq!(kinds(line.as_bytes()), "eventid", "{line}");
        }
    }

    #[test]
    fn depth_is_no_danger() {
        let deep =
            format!("{{\"eventid\":\"cowrie.x.y\",\"a\":{}{}}}", "[".repeat(400_000), "]".repeat(400_000));
        assert!(Envelope::read(deep.as_bytes()).is_ok());
    }
}
