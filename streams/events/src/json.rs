//! JSON as attackers write it: replaces what Postgres cannot store, and reads values leniently.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, de};
use serde_json::value::RawValue;

/// Replaces every escape that Postgres and Rust strings refuse (`\u0000`, lone surrogates) by `\ufffd`.
/// Borrows the text when it has no such escape.
pub(crate) fn storable(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let mut out = String::new();
    let (mut copied, mut at) = (0, 0);
    while let Some(found) = memchr::memchr(b'\\', &bytes[at..]) {
        at += found;
        let Some(unit) = escape(&bytes[at..]) else {
            at = bytes.len().min(at + 2);
            continue;
        };
        let low = || bytes.get(at + 6..).and_then(escape).is_some_and(|u| (0xdc00..0xe000).contains(&u));
        match unit {
            0xd800..0xdc00 if low() => at += 12,
            0 | 0xd800..0xe000 => {
                out.push_str(&text[copied..at]);
                out.push_str("\\ufffd");
                at += 6;
                copied = at;
            }
            _ => at += 6,
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[copied..]);
    Cow::Owned(out)
}

/// The UTF-16 code unit of a `\uXXXX` at the start of `bytes`.
fn escape(bytes: &[u8]) -> Option<u32> {
    let hex = bytes.strip_prefix(b"\\u")?.get(..4)?;
    if !hex.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u32::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()
}

/// A key of an object, unescaped.
pub(crate) struct Key<'a>(pub Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        from.deserialize_str(Visitor)
    }
}

/// The value if it is a string.
pub(crate) fn string(raw: &RawValue) -> Option<String> {
    serde_json::from_str(raw.get()).ok()
}

/// The value if it is a non-empty string.
pub(crate) fn filled(raw: &RawValue) -> Option<String> {
    string(raw).filter(|text| !text.is_empty())
}

/// The value if it is a number or a string that contains one.
pub(crate) fn number(raw: &RawValue) -> Option<f64> {
    let text = match string(raw) {
        Some(text) => text.trim().to_owned(),
        None => raw.get().to_owned(),
    };
    let looks = text.bytes().all(|c| c.is_ascii_digit() || b"+-.eE".contains(&c));
    looks.then(|| text.parse().ok())?.filter(|n: &f64| n.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_postgres_refuses_is_replaced_and_nothing_else() {
        for (text, expected) in [
            (r#"{"a":"b"}"#, r#"{"a":"b"}"#),
            (r#""enable\u0000""#, r#""enable\ufffd""#),
            (r#""\\u0000""#, r#""\\u0000""#),
            (r#""\\\u0000""#, r#""\\\ufffd""#),
            (r#""\ud83d\ude00""#, r#""\ud83d\ude00""#),
            (r#""\ud83d\u0041""#, r#""\ufffd\u0041""#),
            (r#""\ude00""#, r#""\ufffd""#),
            (r#""\ud83d\ud83d\ude00""#, r#""\ufffd\ud83d\ude00""#),
            (r#""\ud83d"#, r#""\ufffd"#),
            (r#""\u12"#, r#""\u12"#),
            ("\\", "\\"),
            (r#""é\u00e9\u0000é""#, r#""é\u00e9\ufffdé""#),
        ] {
            assert_eq!(storable(text), expected);
        }
    }
}
