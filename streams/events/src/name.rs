//! The event part of a subject.

use std::fmt;

/// The event id without `cowrie.`, dots kept; or `other`. Always one to six valid subject tokens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EventName<'a>(&'a str);

impl<'a> EventName<'a> {
    /// Longest event id that gets a subject of its own, in bytes.
    const MAX: usize = 128;

    /// The name for an `eventid` as logged. If it matches `cowrie(\.[a-z0-9_-]+){1,6}`, the part after
    /// `cowrie.`.
    pub fn of(eventid: &'a str) -> Self {
        let token = |t: &str| {
            !t.is_empty()
                && t.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_' || c == b'-')
        };
        match eventid.strip_prefix("cowrie.") {
            Some(rest)
                if eventid.len() <= Self::MAX
                    && rest.split('.').count() <= 6
                    && rest.split('.').all(token) =>
            {
                Self(rest)
            }
            _ => Self("other"),
        }
    }
}

impl fmt::Display for EventName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_cowrie_ids_get_a_subject_of_their_own() {
        for (eventid, name) in [
            ("cowrie.login.failed", "login.failed"),
            ("cowrie.direct-tcpip.request", "direct-tcpip.request"),
            ("cowrie.session.file_download.failed", "session.file_download.failed"),
            ("cowrie.a.b.c.d.e.f", "a.b.c.d.e.f"),
            ("cowrie.a.b.c.d.e.f.g", "other"),
            ("KIPP0001", "other"),
            ("cowrie", "other"),
            ("cowrie.", "other"),
            ("cowrie..x", "other"),
            ("cowrie.>", "other"),
            ("cowrie.Login", "other"),
            ("cowrie.login failed\r\n", "other"),
        ] {
            assert_eq!(EventName::of(eventid).to_string(), name, "{eventid}");
        }
        assert_eq!(EventName::of(&format!("cowrie.{}", "a".repeat(200))).to_string(), "other");
    }
}
