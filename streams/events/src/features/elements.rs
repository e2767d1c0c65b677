//! The elements of the vector: names, units and scalings. The table `feature_elements` has the same content
//! for SQL.

use super::facts::Facts;

/// How a number is scaled, so that all elements have about the same size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scaling {
    /// ln(1 + x): counts and times, which span many orders of magnitude.
    Log,
    /// x / (1 + x): values that have no upper limit and are rarely large.
    Squash,
    /// x / 8: bits per byte.
    Byte,
    /// x: a share, or 1 for yes and 0 for no.
    Plain,
}

impl Scaling {
    /// The formula as in the table `feature_elements`.
    pub fn formula(self) -> &'static str {
        match self {
            Self::Log => "ln(1 + x)",
            Self::Squash => "x / (1 + x)",
            Self::Byte => "x / 8",
            Self::Plain => "x",
        }
    }

    fn apply(self, x: f64) -> f64 {
        match self {
            Self::Log => x.ln_1p(),
            Self::Squash => x / (1.0 + x),
            Self::Byte => x / 8.0,
            Self::Plain => x,
        }
    }
}

pub struct Element {
    pub name: &'static str,
    /// Unit of the value before scaling.
    pub unit: &'static str,
    pub scaling: Scaling,
    of: fn(&Facts) -> f64,
}

const fn element(name: &'static str, unit: &'static str, scaling: Scaling, of: fn(&Facts) -> f64) -> Element {
    Element { name, unit, scaling, of }
}

/// The first elements of the vector, in order. What a session lacks is 0.
pub const ELEMENTS: &[Element] = &[
    element(
        "duration",
        "s, as session.closed says, else from the first to the last event",
        Scaling::Log,
        |f| f.seconds,
    ),
    element("events", "events", Scaling::Log, |f| f.events),
    element("bytes", "bytes of log lines", Scaling::Log, |f| f.bytes),
    element("logins_failed", "events", Scaling::Log, |f| f.logins_failed),
    element("logins_succeeded", "events", Scaling::Log, |f| f.logins_succeeded),
    element("time_to_login", "s from the first event to the first login.success", Scaling::Log, |f| {
        f.time_to_login
    }),
    element("usernames", "distinct", Scaling::Log, |f| f.usernames),
    element("passwords", "distinct", Scaling::Log, |f| f.passwords),
    element("login_interval_median", "s between attempts", Scaling::Log, |f| f.login_intervals.median),
    element("login_interval_variation", "standard deviation / mean", Scaling::Squash, |f| {
        f.login_intervals.variation
    }),
    element("password_entropy", "mean bits a byte", Scaling::Byte, |f| f.password_entropy),
    element("password_is_username", "share of attempts", Scaling::Plain, |f| f.password_is_username),
    element("keys_offered", "public keys", Scaling::Log, |f| f.keys_offered),
    element("commands", "command.input", Scaling::Log, |f| f.commands),
    element("commands_distinct", "share of commands, normalised", Scaling::Plain, |f| f.commands_distinct),
    element("commands_failed", "command.failed", Scaling::Log, |f| f.commands_failed),
    element("command_length_mean", "characters, normalised", Scaling::Log, |f| f.command_length_mean),
    element("command_length_max", "characters, normalised", Scaling::Log, |f| f.command_length_max),
    element("command_entropy", "mean bits a byte, as typed", Scaling::Byte, |f| f.command_entropy),
    element("time_to_command", "s from the first login.success, else the first event", Scaling::Log, |f| {
        f.time_to_command
    }),
    element("command_interval_median", "s between commands", Scaling::Log, |f| f.command_intervals.median),
    element("command_interval_p90", "s between commands", Scaling::Log, |f| f.command_intervals.p90),
    element("command_interval_variation", "standard deviation / mean", Scaling::Squash, |f| {
        f.command_intervals.variation
    }),
    element("downloads", "session.file_download", Scaling::Log, |f| f.downloads),
    element("downloads_failed", "session.file_download.failed", Scaling::Log, |f| f.downloads_failed),
    element("uploads", "session.file_upload", Scaling::Log, |f| f.uploads),
    element("files", "distinct SHA-256", Scaling::Log, |f| f.files),
    element("forwards", "direct-tcpip.request", Scaling::Log, |f| f.forwards),
    element("forward_targets", "distinct", Scaling::Log, |f| f.forward_targets),
    element("forward_data", "direct-tcpip.data", Scaling::Log, |f| f.forward_data),
    element("telnet", "1 or 0", Scaling::Plain, |f| f.telnet),
    element("terminal", "1 when the size of a terminal was told", Scaling::Plain, |f| f.terminal),
];

/// Families of clients. Each has an element after [`ELEMENTS`]: 1 for the session's family, 0 for the others.
/// `other` is an unknown version, `none` no version.
pub const CLIENTS: &[&str] = &[
    "openssh", "putty", "libssh2", "libssh", "paramiko", "go", "java", "dotnet", "dropbear", "python",
    "scanner", "other", "none",
];

/// Substrings of versions, in lower case. The first match determines the family.
const FAMILIES: &[(&str, &str)] = &[
    ("scanner", "zgrab"),
    ("scanner", "nmap"),
    ("scanner", "masscan"),
    ("scanner", "censys"),
    ("scanner", "scan"),
    ("openssh", "openssh"),
    ("putty", "putty"),
    ("putty", "winscp"),
    ("libssh2", "libssh2"),
    ("libssh", "libssh"),
    ("paramiko", "paramiko"),
    ("python", "asyncssh"),
    ("python", "twisted"),
    ("java", "jsch"),
    ("java", "sshj"),
    ("java", "j2ssh"),
    ("java", "mina"),
    ("java", "apache-sshd"),
    ("java", "ganymed"),
    ("java", "trilead"),
    ("dotnet", "renci"),
    ("dotnet", "sshnet"),
    ("dotnet", "ssh.net"),
    ("dropbear", "dropbear"),
    ("go", "ssh-2.0-go"),
    ("go", "-golang"),
];

/// Number of the last elements: 1 for the bucket of the hassh (of the first client.kex that has one), 0 for
/// the others; all 0 without a hassh. The bucket is the first byte of the BLAKE3 of the text, modulo this
/// number.
pub const HASSH_BUCKETS: usize = 16;

pub const LENGTH: usize = ELEMENTS.len() + CLIENTS.len() + HASSH_BUCKETS;

fn family(version: Option<&str>) -> &'static str {
    let Some(version) = version else { return "none" };
    let version = version.to_ascii_lowercase();
    FAMILIES.iter().find(|(_, part)| version.contains(part)).map_or("other", |(family, _)| family)
}

pub(super) fn vector(facts: &Facts) -> Vec<f32> {
    let mut vector: Vec<f32> =
        ELEMENTS.iter().map(|element| element.scaling.apply((element.of)(facts)) as f32).collect();
    let family = family(facts.version);
    vector.extend(CLIENTS.iter().map(|&one| f32::from(u8::from(one == family))));
    let bucket =
        facts.hassh.map(|hassh| usize::from(blake3::hash(hassh.as_bytes()).as_bytes()[0]) % HASSH_BUCKETS);
    vector.extend((0..HASSH_BUCKETS).map(|one| f32::from(u8::from(Some(one) == bucket))));
    vector
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_distinguished() {
        let of = |version| family(Some(version));
        assert_eq!(of("SSH-2.0-OpenSSH_for_Windows_8.1"), "openssh");
        assert_eq!(of("SSH-2.0-libssh2_1.10.0"), "libssh2");
        assert_eq!(of("SSH-2.0-libssh_0.9.6"), "libssh");
        assert_eq!(of("SSH-2.0-Go"), "go");
        assert_eq!(of("SSH-2.0-ZGrab ZGrab SSH Survey"), "scanner");
        assert_eq!(of("GET / HTTP/1.1"), "other");
        assert_eq!(family(None), "none");
        assert!(
            FAMILIES.iter().all(|(family, part)| CLIENTS.contains(family) && *part == part.to_lowercase())
        );
    }
}
