//! Finds the events on a line that is not an event by itself: events that Cowrie glued together or split at
//! midnight, or that somebody exported as an array.
//!
//! `tests/golden/repair-v2.txt` freezes the result, as for the identity: the event id is a hash of the text
//! found here, so a change needs a new version, not an edit.
//!
//! - Version 1: glued, stitched and array lines.
//! - Version 2: a carriage return at the end of a line is not part of the event ([`without_returns`]), so
//!   that a copy with CRLF line ends holds the same events. Events that version 1 stored keep their identity.
//!   The processor looks for that identity before it inserts an event of version 2.

use std::ops::Range;

use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::{Envelope, MAX_LINE};

pub const VERSION: u32 = 2;

/// A line without the carriage returns at its end. An editor, FTP in text mode or `git` may have written the
/// log with CRLF line ends.
pub fn without_returns(line: &[u8]) -> &[u8] {
    let returns = line.iter().rev().take_while(|&&byte| byte == b'\r').count();
    &line[..line.len() - returns]
}

/// How often each byte of a line may be scanned, on average. Bounds the work on a line crafted to be slow.
const LOOKS: usize = 16;

/// A part of a line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Part {
    /// The event, or other text, without white space around it.
    pub text: Range<usize>,
    /// Where the part ends. It starts where the previous part ends; the last one ends with the line.
    pub end: usize,
    /// Whether the text is an event.
    pub event: bool,
}

/// The parts of a line that contains whole events and other text. Cowrie before 3.0.6 wrote such lines after
/// a value that it could not serialise (`{"eventid":"…","username":{"eventid":…}`), and so do two writers of
/// one file. Empty when the line contains no event.
pub fn glued(line: &[u8]) -> Vec<Part> {
    search(line).0
}

/// The parts, and the number of bytes scanned; a byte scanned twice counts twice.
fn search(line: &[u8]) -> (Vec<Part>, usize) {
    let (mut parts, mut spent) = (Vec::new(), 0);
    let (mut at, mut done) = (0, 0);
    while let Some(start) = memchr::memchr(b'{', &line[at..]).map(|found| at + found) {
        let (whole, looked) = object(&line[start..]);
        at = start + 1;
        if let Some(length) = whole.filter(|&length| Envelope::read(&line[start..start + length]).is_ok()) {
            push_rest(&mut parts, line, done..start);
            done = start + length;
            at = done;
            parts.push(Part { text: start..done, end: done, event: true });
        }
        // Twice, because the envelope scans the bytes again.
        spent += 2 * looked.max(1);
        if spent >= LOOKS * line.len() {
            break;
        }
    }
    if !parts.is_empty() {
        push_rest(&mut parts, line, done..line.len());
    }
    (close(parts, line), spent)
}

/// The elements of a line that is an array, both events and others. `None` when it is not an array or
/// contains no event.
pub fn elements(line: &[u8]) -> Option<Vec<Part>> {
    let text = std::str::from_utf8(line).ok()?;
    let elements: Vec<&RawValue> = serde_json::from_str(text).ok()?;
    let part = |raw: &&RawValue| {
        let start = raw.get().as_ptr() as usize - text.as_ptr() as usize;
        let range = start..start + raw.get().len();
        Part { end: range.end, event: Envelope::read(&line[range.clone()]).is_ok(), text: range }
    };
    let parts: Vec<_> = elements.iter().map(part).collect();
    parts.iter().any(|part| part.event).then(|| close(parts, line))
}

/// The event made of the unfinished last line of one log and the first line of the next. Cowrie before 3.0.6
/// may rotate in the middle of an event.
pub fn stitched(head: &[u8], tail: &[u8]) -> Option<Vec<u8>> {
    if head.len() + tail.len() > MAX_LINE {
        return None;
    }
    let line = [head, tail].concat();
    Envelope::read(&line).is_ok().then_some(line)
}

/// The length of the JSON value at the front, if it is complete; and the number of bytes scanned.
fn object(text: &[u8]) -> (Option<usize>, usize) {
    let mut values = serde_json::Deserializer::from_slice(text).into_iter::<IgnoredAny>();
    match values.next() {
        Some(Ok(_)) => (Some(values.byte_offset()), values.byte_offset()),
        // The text is one line, so the column is the offset.
        Some(Err(error)) => (None, error.column()),
        None => (None, 0),
    }
}

/// Adds the text between events, unless it is blank.
fn push_rest(parts: &mut Vec<Part>, line: &[u8], range: Range<usize>) {
    let rest = &line[range.clone()];
    let text = rest.trim_ascii();
    if !text.is_empty() {
        let start = range.start + (rest.len() - rest.trim_ascii_start().len());
        parts.push(Part { text: start..start + text.len(), end: range.end, event: false });
    }
}

fn close(mut parts: Vec<Part>, line: &[u8]) -> Vec<Part> {
    if let Some(last) = parts.last_mut() {
        last.end = line.len();
    }
    parts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(line: &str) -> Vec<(&str, bool)> {
        glued(line.as_bytes()).into_iter().map(|part| (&line[part.text], part.event)).collect()
    }

    #[test]
    fn an_event_behind_a_broken_one_is_found() {
        let closed = r#"{"eventid":"cowrie.session.closed","session":"a"}"#;
        let broken = r#"{"eventid":"cowrie.login.success","username":"#;
        assert_eq!(texts(&format!("{broken}{closed}")), [(broken, false), (closed, true)]);
        assert_eq!(
            texts(&format!("{broken}{broken}{closed}")),
            [(format!("{broken}{broken}").as_str(), false), (closed, true)]
        );
        assert_eq!(texts(&format!(" {closed} {closed}")), [(closed, true), (closed, true)]);
        assert_eq!(texts(&format!("{closed}{broken}")), [(closed, true), (broken, false)]);
        assert_eq!(texts(&format!("\u{fffd}x{closed}\r")), [("\u{fffd}x", false), (closed, true)]);
        for nothing in ["", "x", broken, r#"{"a":{"b":1},"eventid":"#, r#"["a"]"#] {
            assert_eq!(texts(nothing), [], "{nothing}");
        }
    }

    #[test]
    fn what_an_attacker_typed_is_no_event() {
        // Quotes inside a string are escaped, so text that looks like an event is not parsed as one.
        let broken =
            r#"{"eventid":"cowrie.command.input","input":"echo {\"eventid\":\"cowrie.login.success\"}","x":"#;
        assert_eq!(texts(broken), []);
    }

    #[test]
    fn an_array_is_split_into_its_elements() {
        let line = r#" [ {"eventid":"a"}, 7 , {"eventid":"b"} ] "#;
        let parts = elements(line.as_bytes()).unwrap();
        let texts: Vec<_> = parts.iter().map(|part| (&line[part.text.clone()], part.event)).collect();
        assert_eq!(texts, [(r#"{"eventid":"a"}"#, true), ("7", false), (r#"{"eventid":"b"}"#, true)]);
        assert_eq!(parts.last().unwrap().end, line.len());
        for nothing in [r#"{"eventid":"a"}"#, "[]", "[1, {}]", "[1"] {
            assert_eq!(elements(nothing.as_bytes()), None, "{nothing}");
        }
    }

    #[test]
    fn two_halves_are_stitched_only_when_they_make_an_event() {
        let line = r#"{"eventid":"cowrie.command.input","input":"ls"}"#;
        for at in 1..line.len() {
            let (head, tail) = line.split_at(at);
            assert_eq!(stitched(head.as_bytes(), tail.as_bytes()).as_deref(), Some(line.as_bytes()), "{at}");
        }
        assert_eq!(stitched(b"{\"eventid\":", b"{\"eventid\":\"a\"}"), None);
    }

    #[test]
    fn the_search_of_a_line_crafted_to_be_slow_is_bounded() {
        let slow = "{\"a\":".repeat(200_000);
        let (parts, spent) = search(slow.as_bytes());
        assert_eq!(parts, []);
        // The last attempt may go to the end of the line.
        assert!(spent <= (LOOKS + 2) * slow.len(), "{spent} bytes looked at");
    }

    proptest! {
        #[test]
        fn parts_are_in_order_and_end_with_the_line(pieces in prop::collection::vec(
            prop_oneof![Just(r#"{"eventid":"a"}"#), Just(r#"{"eventid":"#), Just("{\""), Just(" "), Just("]"), Just("[{\"eventid\":\"b\",\"c\":{\"d\":1}},")], 0..12)
        ) {
            let line = pieces.concat();
            let parts = glued(line.as_bytes());
            let mut at = 0;
            for part in &parts {
                prop_assert!(at <= part.text.start && part.text.start < part.text.end && part.text.end <= part.end);
                prop_assert_eq!(part.event, Envelope::read(line[part.text.clone()].as_bytes()).is_ok() );
                at = part.end;
            }
            prop_assert!(parts.is_empty() || at == line.len());
        }
    }
}
