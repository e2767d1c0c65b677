//! Prints an event as JSON that is safe for a terminal: the line itself, in printable ASCII.

use boot::ascii;
use events::{Envelope, SensorId};

/// `{"sensor": …, "event": the line}`; `{"sensor": …, "unreadable": text}` if the line is not an event.
pub(super) fn object(sensor: &SensorId, line: &[u8]) -> String {
    match std::str::from_utf8(line) {
        Ok(text) if Envelope::read(line).is_ok() => {
            format!("{{\"sensor\":\"{sensor}\",\"event\":{}}}", ascii(text.trim()))
        }
        _ => {
            let text = serde_json::Value::from(String::from_utf8_lossy(line)).to_string();
            format!("{{\"sensor\":\"{sensor}\",\"unreadable\":{}}}", ascii(&text))
        }
    }
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
