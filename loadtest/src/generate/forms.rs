//! Texts whose form depends on the version of Cowrie.

use std::borrow::Cow;

use super::{
    cowrie::Cowrie,
    json::{Json, hex, repr},
    session::Session,
    time,
};

/// The file name of a terminal log, before these were named by their hash.
pub fn ttylog(session: &Session, index: usize) -> String {
    format!(
        "log/tty/{}-{}-{index}{}.log",
        time::compact(session.started),
        session.id,
        if session.telnet { 'i' } else { 'e' }
    )
}

pub fn downloads(cowrie: Cowrie) -> &'static str {
    if cowrie.has_kex() { "var/lib/cowrie/downloads/" } else { "dl/" }
}

/// The MD5 fingerprint of a key: `d1:28:…`.
pub fn fingerprint(key: u64) -> String {
    let digits = hex(key ^ 0x55, 32);
    (0..16).map(|i| &digits[2 * i..2 * i + 2]).collect::<Vec<_>>().join(":")
}

/// Writes a duration in the form of the version.
pub fn duration(json: &mut Json, cowrie: Cowrie, telnet: bool, seconds: f64) {
    if cowrie >= Cowrie::V3_0_4 {
        json.number("duration_ms", (seconds * 1000.0) as u64);
    } else if cowrie == Cowrie::V2_8 && !telnet {
        json.text("duration", &format!("{seconds:.1}"));
    } else {
        json.raw("duration", &format!("{:?}", seconds.max(0.000_1) + 0.000_000_3));
    }
}

/// The client's version as logged.
pub fn version(cowrie: Cowrie, version: &str) -> Cow<'_, str> {
    if cowrie == Cowrie::V1_6 {
        Cow::Owned(format!("b'{}'", repr(version.as_bytes())))
    } else {
        shown(cowrie, version)
    }
}

/// The newest versions log printable ASCII only.
pub fn shown(cowrie: Cowrie, text: &str) -> Cow<'_, str> {
    let plain = |c: u8| matches!(c, b' '..=b'~') && c != b'\\';
    if cowrie < Cowrie::V3_0_12 || text.bytes().all(plain) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(repr(text.as_bytes()).replace("\\'", "'"))
    }
}
