//! Commands without what varies between runs of one attack.

mod known;
mod scan;
mod word;

use std::borrow::Cow;

/// Counts changes of what [`normalise`] gives; kept beside every value derived from it.
pub const VERSION: i16 = 1;

/// The command with placeholders for what varies between runs of one attack.
pub fn normalise(command: &str) -> Cow<'_, str> {
    let normal = scan::Scanner::new(command).run();
    if normal == command { Cow::Borrowed(command) } else { Cow::Owned(normal) }
}

/// The identity of a sequence of commands: of each, as [`normalise`] gives it, and of their order.
pub fn sequence_fingerprint<'a>(commands: impl IntoIterator<Item = &'a str>) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"cowriestream sequence v1");
    for command in commands {
        let normal = normalise(command);
        hasher.update(&(normal.len() as u64).to_le_bytes()).update(normal.as_bytes());
    }
    let mut fingerprint = [0; 16];
    hasher.finalize_xof().fill(&mut fingerprint);
    fingerprint
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn show() {
        let Ok(path) = std::env::var("SHOW") else { return };
        for line in std::fs::read_to_string(path).unwrap().lines() {
            let c: String = serde_json::from_str(line).unwrap();
            println!("{}", normalise(&c));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(std::env::var("CASES").map_or(20_000, |c| c.parse().unwrap())) })]
        #[test]
        fn again(pieces in prop::collection::vec(prop_oneof![
            prop::sample::select(vec!["<", ">", "n>", "<n>", "<cut>", "<password>", "<file>", "<ip>", "<hex>", " ", "  ", "\n", "␤", "'", "\"", "\\", "\\x41", "\\101", "|", ";", "&", ">&", "2>", "(", "`",
                "$", "$1$", "${", ":", "::", "://", "http", "1.2.3.4", "fe80::", ":80", "/", "/tmp/", "/etc/passwd", "./", ".", "..", "~/", "x9f3kq2", "TmqWwR7A", "abc", "echo ", "-e ", "passwd", "chpasswd",
                "| passwd", "openssl passwd -1 ", "useradd -p ", "busybox ", "/bin/busybox ", "chmod ", "777", "12", "wget ", "tftp -r ", "sh ", "rm ", "-c ", "=", "==", "AAAAB3NzaC1yc2EAAAADAQABAAABAQ", "IyEvYmluL2Jhc2gKY2QgL3RtcAkKcm0g",
                "deadbeef01", "\u{1}", "\u{85}", "\u{202e}", "é", "evil.com", "-", "@", ",", "*", "get "]).prop_map(str::to_owned),
            any::<char>().prop_map(String::from), "[ -~]{1,4}"], 0..40), times in prop_oneof![9 => Just(1usize), 1 => Just(200)]) {
            let command = pieces.concat().repeat(times);
            let once = normalise(&command);
            prop_assert!(once.len() <= scan::LIMIT + scan::CUT.len() + 3);
            prop_assert_eq!(&normalise(&once), &once, "{:?}", command);
        }
    }
}
