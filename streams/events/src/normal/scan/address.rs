//! URLs and addresses.

use std::net::Ipv6Addr;

use super::{Scanner, is_host};

impl<'a> Scanner<'a> {
    pub(super) fn retry_ipv6(&mut self, from: usize, end: usize) -> bool {
        self.at = from;
        let found = self.ipv6();
        if !found {
            self.at = end;
        }
        found
    }

    pub(super) fn ipv6(&mut self) -> bool {
        let (from, bytes) = (self.at, self.text.as_bytes());
        let length = bytes[from..]
            .iter()
            .take(46)
            .take_while(|c| c.is_ascii_hexdigit() || matches!(c, b':' | b'.'))
            .count();
        let next = self.text[from + length..].chars().next();
        let ends = next.is_none_or(|c| c.is_whitespace() || "␤\"'`]/%;,)|&".contains(c));
        if !ends || length < 3 || self.text[from..from + length].parse::<Ipv6Addr>().is_err() {
            return false;
        }
        self.at += length;
        self.put("<ip>");
        true
    }

    pub(super) fn url(&mut self, scheme: &str) -> bool {
        let rest = &self.text.as_bytes()[self.at..];
        let begins = rest.starts_with(b"://")
            && rest.get(3).is_some_and(|c| c.is_ascii_alphanumeric() || b"[$%".contains(c));
        if !begins || !scheme.as_bytes()[0].is_ascii_alphabetic() {
            return false;
        }
        self.rest_of_url();
        self.put("<url>");
        true
    }

    /// `somebody@host.example`; `who` has been read already.
    pub(super) fn mailbox(&mut self, who: &str) -> bool {
        if who.contains('/') || who.starts_with('-') {
            return false;
        }
        let (from, text) = (self.at + 1, self.text);
        let end = self.word_end(from);
        if !is_host(&text[from..end]) {
            return false;
        }
        self.at = end;
        self.put("<email>");
        true
    }

    pub(super) fn rest_of_url(&mut self) {
        let (from, bytes) = (self.at, self.text.as_bytes());
        let length = bytes[from..]
            .iter()
            .take_while(|c| {
                !c.is_ascii_whitespace() && !c.is_ascii_control() && !b"\"'`;|&<>()\\".contains(c)
            })
            .count();
        self.at = from + length;
        let text = self.text;
        self.remember(&text[from..self.at]);
    }

    /// What follows an IPv4 address: a port, a network prefix, the port of `/dev/tcp`, or a path.
    pub(super) fn address(&mut self, path: &'a str) {
        if path.is_empty() && self.byte(self.at) == b':' {
            let port =
                self.text.as_bytes()[self.at + 1..].iter().take(5).take_while(|c| c.is_ascii_digit()).count();
            if port > 0 {
                self.at += 1 + port;
            }
            if self.byte(self.at) == b'/' {
                self.rest_of_url();
                return self.put("<url>");
            }
        }
        let network = path.len() <= 6 && path.bytes().skip(1).all(|c| c.is_ascii_digit());
        if !network {
            self.remember(path);
            self.rest_of_url();
            return self.put("<url>");
        }
        self.put("<ip>");
    }

    /// `/dev/tcp/` before an address, or `/proc/` before a process id. The rest of the word is scanned
    /// separately.
    pub(super) fn opened(&mut self, from: usize, word: &'a str) -> bool {
        // Only once per word: otherwise a path of thousands of these would be scanned thousands of times.
        let again = self.gap.is_none() && (self.out.ends_with('/') || self.out.ends_with("<n>"));
        if word.as_bytes()[0] != b'/' || again {
            return false;
        }
        let bytes = self.text.as_bytes();
        for start in ["/dev/tcp/", "/dev/udp/"] {
            if word.starts_with(start) {
                self.at = from + start.len();
                self.keep(start);
                return true;
            }
        }
        let Some(rest) = word.strip_prefix("/proc/") else { return false };
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let at = from + word.len() - rest.len() + digits;
        if digits == 0 || (digits < rest.len() && bytes[at] != b'/') {
            return false;
        }
        self.at = at;
        self.keep("/proc/");
        self.put("<n>");
        true
    }
}
