//! Identities: 128 bits of BLAKE3 over a domain tag and length-prefixed parts. The golden values below freeze
//! them: a change needs a new version of the tag, not an edit.

use std::{fmt, str::FromStr};

use crate::SensorId;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 16]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:032x}", u128::from_be_bytes(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;

            fn from_str(text: &str) -> Result<Self, NotAnId> {
                if text.len() != 32 || !text.bytes().all(|c| c.is_ascii_hexdigit()) {
                    return Err(NotAnId);
                }
                u128::from_str_radix(text, 16).map(|n| Self(n.to_be_bytes())).map_err(|_| NotAnId)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(from)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

/// The text is not 32 hexadecimal digits.
#[derive(Debug, thiserror::Error)]
#[error("expected 32 hexadecimal digits")]
pub struct NotAnId;

id! {
    /// An event. Every copy of its line from the same sensor has the same id.
    EventId
}
id! {
    /// A dead letter. The same bytes from the same sensor have the same id.
    DeadId
}
id! {
    /// The content of a file: device, inode, generation (number of truncations seen) and the fingerprint of
    /// its first line.
    FileId
}
id! {
    /// Hash of the first complete line of a file, after repair.
    Fingerprint
}

impl EventId {
    /// The id of the (repaired) `line` of a sensor.
    pub fn of(sensor: &SensorId, line: &[u8]) -> Self {
        Self(digest(b"cowriestream event v1", sensor.as_str().as_bytes(), line))
    }
}

impl DeadId {
    /// The id of a dead letter, given the BLAKE3 hash of its whole bytes.
    pub fn of(sensor: &SensorId, hash: &[u8; 32]) -> Self {
        Self(digest(b"cowriestream dead v1", sensor.as_str().as_bytes(), hash))
    }
}

impl FileId {
    /// The id of a file as the loader finds it.
    pub fn of(device: u64, inode: u64, generation: u32, first_line: &Fingerprint) -> Self {
        let place = format!("{device} {inode} {generation}");
        Self(digest(b"cowriestream file v1", place.as_bytes(), &first_line.0))
    }
}

impl Fingerprint {
    pub fn of(line: &[u8]) -> Self {
        Self(digest(b"cowriestream first line v1", b"", line))
    }
}

/// The first 16 bytes of BLAKE3 over `tag`, the length of `part` (8 bytes, little endian), `part`, and
/// `rest`.
fn digest(tag: &[u8], part: &[u8], rest: &[u8]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(tag).update(&(part.len() as u64).to_le_bytes()).update(part).update(rest);
    let mut id = [0; 16];
    hasher.finalize_xof().fill(&mut id);
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_frozen() {
        let sensor = "fra-1".parse().unwrap();
        let line = br#"{"eventid":"cowrie.session.connect","session":"a1b2c3d4e5f6"}"#;
        let first = Fingerprint::of(line);
        assert_eq!(EventId::of(&sensor, line).to_string(), "134962f5623fa74a3a314b33cac738ba");
        assert_eq!(DeadId::of(&sensor, &[7; 32]).to_string(), "8443d3e2e442df924994d9a9c23de001");
        assert_eq!(first.to_string(), "aea6487f7a22ac5e9cb884a512747509");
        assert_eq!(FileId::of(2049, 131_077, 0, &first).to_string(), "aa0eaaf054e7ff42dae8b291cc68835c");
    }

    #[test]
    fn an_id_reads_back_from_its_text() {
        let id = EventId([0xab; 16]);
        assert_eq!(id.to_string().parse::<EventId>().unwrap(), id);
        for bad in ["", "xyz", "+0000000000000000000000000000000", &"0".repeat(33)] {
            assert!(bad.parse::<EventId>().is_err());
        }
    }
}
