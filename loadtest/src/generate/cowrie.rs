//! The versions of Cowrie whose lines differ, and their differences.

use std::{fmt, str::FromStr};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cowrie {
    /// 2017: Python 2, spaces after colons, `system` and `isError`.
    V1_3,
    /// 2019: compact, Python 3 reprs.
    V1_6,
    /// 2022.
    V2_5,
    /// 2025: `protocol` and `uuid` on every event, durations as text.
    V2_8,
    /// 2026: `duration_ms`, Telnet options, JA4.
    V3_0_4,
    /// 2026: the connection on every event, another order of keys.
    V3_0_12,
}

/// The order of the keys in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The order of dictionaries in Python 2.
    Python2,
    EventFirst,
    ConnectionFirst,
}

impl Cowrie {
    pub const ALL: [Self; 6] = [Self::V1_3, Self::V1_6, Self::V2_5, Self::V2_8, Self::V3_0_4, Self::V3_0_12];

    /// The name of its tag.
    pub fn name(self) -> &'static str {
        match self {
            Self::V1_3 => "1.3",
            Self::V1_6 => "1.6",
            Self::V2_5 => "2.5",
            Self::V2_8 => "2.8",
            Self::V3_0_4 => "3.0.4",
            Self::V3_0_12 => "3.0.12",
        }
    }

    pub fn order(self) -> Order {
        match self {
            Self::V1_3 => Order::Python2,
            Self::V3_0_12 => Order::ConnectionFirst,
            _ => Order::EventFirst,
        }
    }

    /// Whether algorithms come with `client.kex` instead of `client.version`, and a shell has
    /// `session.params` instead of `log.open`.
    pub fn has_kex(self) -> bool {
        self > Self::V1_3
    }

    /// Whether every event has `protocol` and `uuid`.
    pub fn has_uuid(self) -> bool {
        self >= Self::V2_8
    }

    /// Whether it has `telnet.option`, `direct-tcpip.ja4` and `ja4h`.
    pub fn has_options(self) -> bool {
        self >= Self::V3_0_4
    }

    /// Whether it writes a line with one write; older versions write each token.
    pub fn writes_lines(self) -> bool {
        self >= Self::V3_0_12
    }

    /// Returns the suffix that a log of this day gets when the next day begins: `2018-01-07`, or `2017_11_4`
    /// before 2018.
    pub fn suffix(self, (year, month, day): (i32, u32, u32)) -> String {
        if self == Self::V1_3 {
            format!("{year}_{month}_{day}")
        } else {
            format!("{year:04}-{month:02}-{day:02}")
        }
    }
}

impl fmt::Display for Cowrie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Cowrie {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|version| version.name() == text)
            .ok_or_else(|| format!("{text:?}: expected one of 1.3, 1.6, 2.5, 2.8, 3.0.4, 3.0.12"))
    }
}
