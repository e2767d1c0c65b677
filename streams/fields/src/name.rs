//! Names that people give: of a queue, a worker, a schedule, an accelerator.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// 1 to 64 of `[A-Za-z0-9_-]`: safe as a subject token, a file name, a Redis key and a path segment.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

impl Name {
    /// What an error about a name says.
    pub const EXPECTED: &'static str = "expected letters, digits, _ and -, at most 64";

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a text is a name, for a caller that keeps the text.
    pub fn is_valid(text: &str) -> bool {
        (1..=64).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
    }
}

/// A text that is not a name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NameError(String);

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, got {:?}", Name::EXPECTED, self.0)
    }
}

impl std::error::Error for NameError {}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if Self::is_valid(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError(text.chars().take(crate::QUOTED).collect()))
        }
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_letters_digits_underscores_and_hyphens_are_a_name() {
        let longest = "x".repeat(64);
        for good in ["a", "gpu-worker_1", "A9", "-", longest.as_str()] {
            assert_eq!(good.parse::<Name>().unwrap().as_str(), good);
        }
        for bad in ["", "a.b", "a b", "*", ">", "ü", "a\n", "a/b", &"x".repeat(65)] {
            let said = bad.parse::<Name>().unwrap_err().to_string();
            assert!(said.starts_with(Name::EXPECTED), "{bad:?}: {said}");
        }
        assert!(serde_json::from_str::<Name>(r#""a.b""#).is_err());
    }
}
