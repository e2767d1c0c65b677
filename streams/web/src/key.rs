//! API keys: `csk_<id>_<secret><checksum>`. The id finds the key, and the checksum tells a mistyped key from a
//! wrong one without a look-up, also for programs that search for leaked secrets.
//!
//! **Invariant**: a [`Key`] is never printed by `Debug`, and only [`Key::reveal`] gives its text.

use std::fmt;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

const PREFIX: &str = "csk_";
const ID: usize = 8;
const SECRET: usize = 32;
/// 62^6 is more than 2^32.
const CHECKSUM: usize = 6;
const LENGTH: usize = PREFIX.len() + ID + 1 + SECRET + CHECKSUM;
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A key whose form and checksum are right. Whether it exists is another question.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(String);

/// The text is not a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotAKey;

/// The SHA-256 of a whole key, as it is stored. The secret has 190 random bits, so a slow hash adds nothing.
#[derive(Clone, Copy, Debug)]
pub struct KeyHash([u8; 32]);

impl Key {
    /// A new random key.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut text = String::with_capacity(LENGTH);
        text += PREFIX;
        push_random(&mut text, ID)?;
        text.push('_');
        push_random(&mut text, SECRET)?;
        text += &checksum(&text);
        Ok(Self(text))
    }

    pub fn parse(text: &str) -> Result<Self, NotAKey> {
        let (id, secret) = text.strip_prefix(PREFIX).and_then(|rest| rest.split_once('_')).ok_or(NotAKey)?;
        let digits =
            |part: &str, length| part.len() == length && part.bytes().all(|b| b.is_ascii_alphanumeric());
        if !digits(id, ID) || !digits(secret, SECRET + CHECKSUM) {
            return Err(NotAKey);
        }
        let (body, sum) = text.split_at(LENGTH - CHECKSUM);
        if checksum(body) == sum { Ok(Self(text.to_owned())) } else { Err(NotAKey) }
    }

    /// The public part, by which the key is found.
    pub fn id(&self) -> &str {
        &self.0[PREFIX.len()..PREFIX.len() + ID]
    }

    pub fn hash(&self) -> KeyHash {
        KeyHash(Sha256::digest(&self.0).into())
    }

    /// The whole key, for its owner.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}_…", self.id())
    }
}

impl KeyHash {
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Compares with a stored hash, in a time that does not depend on where they differ.
    pub fn is(&self, stored: &[u8]) -> bool {
        self.0[..].ct_eq(stored).into()
    }
}

/// Appends uniformly random digits.
fn push_random(text: &mut String, count: usize) -> Result<(), getrandom::Error> {
    let end = text.len() + count;
    let mut bytes = [0; 64];
    while text.len() < end {
        getrandom::fill(&mut bytes)?;
        // 248 is the largest multiple of 62 in a byte: beyond it, low digits would be more frequent.
        let fair = bytes.iter().filter(|&&byte| byte < 248).take(end - text.len());
        text.extend(fair.map(|&byte| char::from(DIGITS[usize::from(byte % 62)])));
    }
    Ok(())
}

/// The CRC-32 of a text, in base 62, most significant digit first.
fn checksum(text: &str) -> String {
    let mut sum = crc32fast::hash(text.as_bytes());
    let mut digits = [b'0'; CHECKSUM];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[(sum % 62) as usize];
        sum /= 62;
    }
    digits.into_iter().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC*|csk_[0-9A-Za-z_é]{0,60}") {
            if let Ok(key) = Key::parse(&text) {
                prop_assert_eq!(key.reveal(), text);
            }
        }

        #[test]
        fn a_changed_character_is_noticed(at in 0..LENGTH, to in 0x20u8..0x7f) {
            let key = Key::generate().unwrap();
            let mut changed = key.reveal().to_owned().into_bytes();
            let same = changed[at] == to;
            changed[at] = to;
            let changed = String::from_utf8(changed).unwrap();
            prop_assert_eq!(Key::parse(&changed).is_ok(), same, "{}", changed);
        }
    }

    #[test]
    fn a_key_has_a_fixed_form() {
        let key = Key::generate().unwrap();
        assert_eq!(key.reveal().len(), LENGTH);
        assert_eq!(Key::parse(key.reveal()), Ok(key.clone()));
        assert!(key.hash().is(key.hash().bytes()) && !key.hash().is(&[0; 32]) && !key.hash().is(b""));
        assert_ne!(Key::generate().unwrap().id(), key.id());
        assert!(!format!("{key:?}").contains(&key.reveal()[14..]));
        // Frozen: keys outlive versions.
        let known = "csk_AbCd1234_0123456789abcdefghijklmnopqrstuv";
        assert_eq!(checksum(known), "2Utyq5");
    }
}
