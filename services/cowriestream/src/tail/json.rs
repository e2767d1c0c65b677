//! An event as JSON that is safe to print: the line itself, in printable ASCII.

use std::fmt::Write as _;

use events::{Envelope, SensorId};

/// `{"sensor": …, "event": the line}`; `{"sensor": …, "unreadable": text}` for what is no event.
pub(super) fn object(sensor: &SensorId, line: &[u8]) -> String {
    match std::str::from_utf8(line) {
        Ok(text) if Envelope::read(line).is_ok() => format!("{{\"sensor\":\"{sensor}\",\"event\":{}}}", ascii(text.trim())),
        _ => {
            let text = serde_json::Value::from(String::from_utf8_lossy(line)).to_string();
            format!("{{\"sensor\":\"{sensor}\",\"unreadable\":{}}}", ascii(&text))
        }
    }
}

/// The same JSON in printable ASCII. What is not ASCII stands within strings in valid JSON, and control characters only between values.
fn ascii(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            ' '..='~' => out.push(c),
            '\u{0}'..='\u{1f}' => out.push(' '),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    // Writing into a string cannot fail.
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(line: &[u8]) -> String {
        object(&"fra-1".parse().unwrap(), line)
    }

    #[test]
    fn the_line_stays_as_cowrie_wrote_it_but_for_what_is_not_ascii() {
        let line = "{\"eventid\":\"cowrie.command.input\",\t\"input\":\"\u{202e}\u{9b}é🦀\\u001b\\ud800\u{7f}\",\"n\":12345678901234567890.10}";
        assert_eq!(
            printed(line.as_bytes()),
            r#"{"sensor":"fra-1","event":{"eventid":"cowrie.command.input", "input":"\u202e\u009b\u00e9\ud83e\udd80\u001b\ud800\u007f","n":12345678901234567890.10}}"#
        );
    }

    #[test]
    fn what_is_no_event_is_shown_as_text() {
        assert_eq!(printed(b"{\"a\"\x1b\xff"), r#"{"sensor":"fra-1","unreadable":"{\"a\"\u001b\ufffd"}"#);
    }
}
