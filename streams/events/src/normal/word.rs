//! Classifies one word by its own characters.

use std::net::Ipv4Addr;

use super::known;

/// What a word looks like that is not an address, link or flag.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Look {
    Number,
    Key,
    Hex,
    Base64,
    File,
    /// A name or path of the system.
    System,
    Random,
    /// None of the others.
    Plain,
}

/// The shortest word that is recognised as base64 rather than a name.
const BASE64: usize = 24;

pub(super) fn look(word: &str) -> Look {
    if is_number(word) {
        return Look::Number;
    }
    if word.starts_with("AAAA")
        && ["B3NzaC1", "C3NzaC1", "E2VjZHNh", "GnNrLX"].iter().any(|start| word[4..].starts_with(start))
    {
        return Look::Key;
    }
    let at_root = word.starts_with(['/', '.', '~']);
    if !at_root && is_base64(word) {
        return if is_hex(word) { Look::Hex } else { Look::Base64 };
    }
    if at_root || word.contains('/') {
        return path(word);
    }
    if word.len() >= 8 && is_hex(word) && is_mixed(word) {
        return Look::Hex;
    }
    if known::is_name(word) {
        return Look::System;
    }
    match word.rsplit_once('.') {
        Some((stem, end)) if !stem.is_empty() && known::is_extension(end) => Look::File,
        _ if is_random(word) => Look::Random,
        _ => Look::Plain,
    }
}

/// Length of an IPv4 address at the start of the word, if it is the whole word or a slash follows.
pub(super) fn ipv4(word: &str) -> Option<usize> {
    if !word.as_bytes()[0].is_ascii_digit() {
        return None;
    }
    let length = word.bytes().take(16).take_while(|c| c.is_ascii_digit() || *c == b'.').count();
    let whole = length == word.len() || word.as_bytes()[length] == b'/';
    (whole && word[..length].parse::<Ipv4Addr>().is_ok()).then_some(length)
}

fn is_number(word: &str) -> bool {
    let digits = word.strip_prefix("0x").filter(|rest| !rest.is_empty() && rest.len() <= 16 && is_hex(rest));
    digits.is_some()
        || (word.as_bytes()[0].is_ascii_digit() && word.bytes().all(|c| c.is_ascii_digit() || c == b'.'))
}

fn is_hex(word: &str) -> bool {
    word.bytes().all(|c| c.is_ascii_hexdigit())
}

fn is_mixed(word: &str) -> bool {
    word.bytes().any(|c| c.is_ascii_digit()) && word.bytes().any(|c| c.is_ascii_alphabetic())
}

fn is_base64(word: &str) -> bool {
    word.len() >= BASE64
        && word.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'+' | b'/'))
        && (turns(word.as_bytes()) * 5 >= word.len() || (is_hex(word) && is_mixed(word)))
}

/// A path belongs to the system if it starts in a system directory and no part of it is hidden or random.
fn path(word: &str) -> Look {
    let mut inner = word.trim_matches('/');
    let absolute = word.starts_with('/');
    if inner.is_empty()
        || inner == "s"
        || is_number(inner)
        || known::is_name(inner)
        || (absolute && known::is_directory(inner))
        || inner.split('/').all(known::is_name)
    {
        return Look::System;
    }
    let (home, below) = inner.split_once('/').unwrap_or((inner, ""));
    if home.starts_with('~') || (absolute && matches!(home, "root" | "home")) {
        inner = below;
    } else if absolute && !known::is_system_root(home) || inner.starts_with("dev/shm") {
        let named = inner
            .strip_prefix("var/")
            .is_some_and(|rest| ["log/", "spool/", "config/"].iter().any(|start| rest.starts_with(start)));
        if !named && !inner.rsplit('/').next().is_some_and(known::is_name) {
            return Look::File;
        }
    } else if word.starts_with("./") {
        return Look::File;
    } else if known::is_system_root(home) && below.is_empty() {
        return Look::System;
    }
    let strange =
        |name: &str| (name.starts_with('.') && !known::is_name(name)) || is_random(name) || name.len() > 64;
    let ours = home.starts_with('~') || (absolute && matches!(home, "root" | "home"));
    let last = inner.rsplit('/').next().unwrap_or(inner);
    let dropped = (ours || !absolute)
        && !known::is_name(last)
        && !last.is_empty()
        && (ours || last.contains('.') || inner.len() == last.len());
    if dropped || inner.split('/').any(strange) { Look::File } else { Look::System }
}

/// The shortest name that can be recognised as random.
const RANDOM: usize = 6;

/// Whether a name looks random: letters, capitals and digits alternate as in no word, or it has a run of
/// consonants that cannot be pronounced.
pub(super) fn is_random(word: &str) -> bool {
    word.len() >= RANDOM
        && word
            .split(['_', '-', '.', '+', '%', '~', '/'])
            .any(|part| part.len() >= RANDOM && is_random_part(part.as_bytes()))
}

fn is_random_part(part: &[u8]) -> bool {
    let turns = turns(part);
    if part.iter().any(u8::is_ascii_digit) {
        return turns >= 2 && !known_part(part);
    }
    ((turns >= 3 && turns * 3 >= part.len()) || consonants(part) >= 5) && !known_part(part)
}

fn known_part(part: &[u8]) -> bool {
    std::str::from_utf8(part).is_ok_and(known::is_word)
}

/// Number of changes of the character class. A capital at the start of a word does not count.
fn turns(word: &[u8]) -> usize {
    let kind = |c: u8| {
        u8::from(c.is_ascii_lowercase())
            | u8::from(c.is_ascii_uppercase()) << 1
            | u8::from(c.is_ascii_digit()) << 2
    };
    let mut turns = 0;
    for at in 1..word.len() {
        let (before, now) = (word[at - 1], word[at]);
        let begins_word = before.is_ascii_uppercase()
            && now.is_ascii_lowercase()
            && (at < 2 || word[at - 2].is_ascii_lowercase());
        turns += usize::from(kind(before) != kind(now) && !begins_word);
    }
    turns
}

/// Length of the longest run of lower-case consonants.
fn consonants(word: &[u8]) -> usize {
    let (mut run, mut longest) = (0, 0);
    for c in word {
        run = if c.is_ascii_lowercase() && !matches!(c, b'a' | b'e' | b'i' | b'o' | b'u' | b'y') {
            run + 1
        } else {
            0
        };
        longest = longest.max(run);
    }
    longest
}
