//! Which events `tail` prints.

use std::{net::IpAddr, str::FromStr};

use bus::Events;

use super::line::Seen;

/// The conditions of the flags; an event must meet all.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// Microseconds since 1970. An event without a readable time passes.
    pub since: Option<i64>,
    pub events: Vec<EventPattern>,
    pub ip: Option<Net>,
    pub session: Option<String>,
}

impl Wanted {
    pub(super) fn holds(&self, seen: &Seen<'_>) -> bool {
        let late = self.since.is_none_or(|since| seen.ts().is_none_or(|ts| ts >= since));
        let event =
            self.events.is_empty() || self.events.iter().any(|pattern| pattern.matches(seen.eventid()));
        let ip = self.ip.as_ref().is_none_or(|net| seen.src_ip().is_some_and(|ip| net.contains(ip)));
        let session = self
            .session
            .as_ref()
            .is_none_or(|start| seen.session().is_some_and(|session| session.starts_with(start.as_str())));
        late && event && ip && session
    }
}

/// `login.*`: an event id with or without `cowrie.`; `*` matches anything, and so does `>` at the end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EventPattern(String);

impl FromStr for EventPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let pattern = text.strip_prefix("cowrie.").unwrap_or(text);
        if pattern.is_empty() || pattern.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err("expected an event id, e.g. login.failed, or a pattern, e.g. 'login.*'".into());
        }
        Ok(Self(pattern.strip_suffix('>').map_or_else(|| pattern.to_owned(), |start| format!("{start}*"))))
    }
}

impl EventPattern {
    fn matches(&self, eventid: &str) -> bool {
        glob(&self.0, eventid.strip_prefix("cowrie.").unwrap_or(eventid))
    }

    /// The subjects of such events; `None` when they may have any.
    fn subjects(&self) -> Option<Events> {
        let token = |t: &str| {
            !t.is_empty()
                && t.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_' || c == b'-')
        };
        let (literal, rest) = self.0.split_at(self.0.find('*').unwrap_or(self.0.len()));
        let name = if rest.is_empty() { literal } else { literal.rsplit_once('.')?.0 };
        if !name.split('.').all(token) {
            return None;
        }
        Some(if rest.is_empty() { Events::Named(name.to_owned()) } else { Events::Family(name.to_owned()) })
    }
}

/// The subjects of patterns; none, which means all, when the events of one pattern may have any subject.
pub(super) fn subjects(patterns: &[EventPattern]) -> Vec<Events> {
    patterns.iter().map(EventPattern::subjects).collect::<Option<_>>().unwrap_or_default()
}

/// Whether a text matches a pattern, in which `*` matches anything.
fn glob(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(start) else { return false };
    let mut pieces: Vec<_> = rest.split('*').collect();
    let end = pieces.pop().unwrap_or_default();
    for piece in pieces {
        let Some(at) = text.find(piece) else { return false };
        text = &text[at + piece.len()..];
    }
    text.ends_with(end)
}

/// An address, or a network.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Net {
    address: IpAddr,
    prefix: u32,
}

impl FromStr for Net {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            "expected an address, e.g. 198.51.100.7, or a network, e.g. 198.51.100.0/24 or 2001:db8::/32"
                .to_owned()
        };
        let (address, prefix) =
            text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix
            .map_or(Ok(longest), str::parse)
            .ok()
            .filter(|&prefix| prefix <= longest)
            .ok_or_else(wrong)?;
        Ok(Self { address, prefix })
    }
}

impl Net {
    fn contains(&self, ip: IpAddr) -> bool {
        let same = |a: u128, b: u128, width: u32| {
            (a ^ b).checked_shr(width - self.prefix).is_none_or(|rest| rest == 0)
        };
        match (self.address, ip) {
            (IpAddr::V4(net), IpAddr::V4(ip)) => same(u32::from(net).into(), u32::from(ip).into(), 32),
            (IpAddr::V6(net), IpAddr::V6(ip)) => same(net.into(), ip.into(), 128),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_ids_with_and_without_prefix() {
        let matches =
            |pattern: &str, eventid: &str| pattern.parse::<EventPattern>().unwrap().matches(eventid);
        for (pattern, eventid) in [
            ("login.*", "cowrie.login.failed"),
            ("cowrie.login.failed", "cowrie.login.failed"),
            ("session.>", "cowrie.session.file_download.failed"),
            ("*.failed", "cowrie.session.file_download.failed"),
            ("*a*a", "aaa"),
            ("KIPP*", "KIPP0001"),
            ("*", "cowrie.x"),
        ] {
            assert!(matches(pattern, eventid), "{pattern} {eventid}");
        }
        for (pattern, eventid) in [
            ("login", "cowrie.login.failed"),
            ("login.*", "cowrie.login"),
            ("*.failed", "cowrie.login.failed2"),
            ("a*a", "a"),
        ] {
            assert!(!matches(pattern, eventid), "{pattern} {eventid}");
        }
        assert!("".parse::<EventPattern>().is_err() && "a b".parse::<EventPattern>().is_err());
    }

    #[test]
    fn the_subjects_of_a_pattern_hold_all_that_it_matches() {
        let named =
            |patterns: &[&str]| subjects(&patterns.iter().map(|p| p.parse().unwrap()).collect::<Vec<_>>());
        assert_eq!(named(&["login.failed"]), [Events::Named("login.failed".into())]);
        assert_eq!(
            named(&["login.*", "session.file*"]),
            [Events::Family("login".into()), Events::Family("session".into())]
        );
        for anywhere in
            [&["login*"][..], &["*"], &["KIPP0001"], &["login.failed", "*.failed"], &["a..b"], &["Login.*"]]
        {
            assert_eq!(named(anywhere), [], "{anywhere:?}");
        }
    }

    #[test]
    fn a_network_holds_its_addresses() {
        let holds = |net: &str, ip: &str| net.parse::<Net>().unwrap().contains(ip.parse().unwrap());
        assert!(holds("198.51.100.7", "198.51.100.7") && !holds("198.51.100.7", "198.51.100.8"));
        assert!(holds("198.51.100.99/24", "198.51.100.7") && !holds("198.51.100.0/24", "198.51.101.7"));
        assert!(holds("0.0.0.0/0", "203.0.113.1") && !holds("0.0.0.0/0", "::1"));
        assert!(
            holds("2001:db8::/32", "2001:db8:1::1")
                && !holds("2001:db8::/32", "2001:db9::1")
                && holds("::/0", "::1")
        );
        for bad in ["", "x", "1.2.3.4/33", "1.2.3.4/", "1.2.3.4/-1", "::/129"] {
            assert!(bad.parse::<Net>().is_err(), "{bad}");
        }
    }
}
