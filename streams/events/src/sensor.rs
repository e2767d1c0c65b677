//! The sensor id: a subject token from the configuration, never from a log.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

/// 1 to 64 characters of `[A-Za-z0-9_-]`; safe as a subject token, a file name and a key. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SensorId(Arc<str>);

impl SensorId {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The text is not a valid sensor id.
#[derive(Debug, thiserror::Error)]
#[error("sensor id {0:?}: allowed are 1 to 64 characters of A-Z a-z 0-9 _ -")]
pub struct BadSensorId(String);

impl FromStr for SensorId {
    type Err = BadSensorId;

    fn from_str(text: &str) -> Result<Self, BadSensorId> {
        let allowed = |c: u8| c.is_ascii_alphanumeric() || c == b'_' || c == b'-';
        if (1..=64).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.into()))
        } else {
            Err(BadSensorId(text.chars().take(80).collect()))
        }
    }
}

impl TryFrom<String> for SensorId {
    type Error = BadSensorId;

    fn try_from(text: String) -> Result<Self, BadSensorId> {
        text.parse()
    }
}

impl From<SensorId> for String {
    fn from(id: SensorId) -> Self {
        id.0.as_ref().to_owned()
    }
}

impl fmt::Display for SensorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SensorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_subject_token_is_a_sensor_id() {
        for good in ["local", "fra-1", "a", "A_b-9", &"x".repeat(64)] {
            assert_eq!(good.parse::<SensorId>().unwrap().as_str(), good);
        }
        for bad in ["", "a.b", "a b", "*", ">", "ü", "a\n", &"x".repeat(65)] {
            assert!(bad.parse::<SensorId>().is_err(), "{bad:?}");
        }
    }
}
