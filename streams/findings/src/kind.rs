//! Which part of the system made a finding.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A live rule.
    Signal,
    Longtail,
    Snowshoe,
    Botnet,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Signal, Self::Longtail, Self::Snowshoe, Self::Botnet];

    /// As in subjects, tables and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Signal => "signal",
            Self::Longtail => "longtail",
            Self::Snowshoe => "snowshoe",
            Self::Botnet => "botnet",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == text);
        found.ok_or_else(|| format!("expected one of {}", Self::ALL.map(Self::name).join(", ")))
    }
}
