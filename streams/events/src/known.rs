//! The event ids that Cowrie is known to write, from 1.0 to 3.0.12.

/// Ids by family. The family is the text after `cowrie.` up to the last dot; the names follow the last dot;
/// `*` matches any name.
const KNOWN: &[(&str, &[&str])] = &[
    ("session", &["connect", "closed", "params", "input", "file_download", "file_upload"]),
    ("session.file_download", &["failed"]),
    ("login", &["success", "failed"]),
    ("command", &["input", "failed", "success", "chpasswd"]),
    ("client", &["version", "kex", "fingerprint", "size", "var", "malformed_packet"]),
    ("log", &["open", "closed"]),
    ("direct-tcpip", &["request", "data", "redirect", "tunnel", "ja4", "ja4h"]),
    ("tunnelproxy-tcpip", &["data"]),
    ("telnet", &["option", "exploit_attempt", "exploit_success", "error"]),
    (
        "proxy",
        &["client_disconnect", "ssh", "backend_connected", "backend_disconnected", "backend_connect_error"],
    ),
    ("virustotal", &["scanfile", "scanurl"]),
    ("reversedns", &["connect", "forward"]),
    ("greynoise", &["result"]),
    ("urlhaus", &["submitted"]),
    ("abuseipdb", &["*"]),
    ("threatjammer", &["*"]),
    ("backend_pool", &["*"]),
];

/// Whether some version of Cowrie writes events with this id.
pub fn is_known(eventid: &str) -> bool {
    if let Some(number) = eventid.strip_prefix("KIPP") {
        return number.len() == 4
            && number.bytes().all(|c| c.is_ascii_digit())
            && ("0001"..="0013").contains(&number);
    }
    let Some((family, name)) = eventid.strip_prefix("cowrie.").and_then(|rest| rest.rsplit_once('.')) else {
        return false;
    };
    KNOWN.iter().any(|(known, names)| *known == family && names.iter().any(|&one| one == "*" || one == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cowrie_writes_is_known() {
        for known in [
            "cowrie.login.failed",
            "cowrie.session.file_download.failed",
            "cowrie.direct-tcpip.ja4h",
            "cowrie.abuseipdb.started",
            "KIPP0013",
        ] {
            assert!(is_known(known), "{known}");
        }
        for unknown in [
            "cowrie.server.kex",
            "cowrie.login",
            "login.failed",
            "KIPP0014",
            "KIPP+001",
            "cowrie.abuseipdb.a.b",
            "",
        ] {
            assert!(!is_known(unknown), "{unknown}");
        }
    }
}
