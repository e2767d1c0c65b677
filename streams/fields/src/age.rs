//! Durations as people write them: `90s`, `30m`, `24h`, `7d`, `4w`.

use std::{fmt, ops::RangeInclusive, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// The units with their seconds, the longest first.
const UNITS: [(char, u64); 5] = [('w', 604_800), ('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

/// A duration of whole seconds, from 1 s to 100 years: a whole number and one of s, m, h, d, w. The upper
/// bound keeps sums with any time of this century within what chrono, Postgres and microseconds in 64 bits
/// can hold.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Age(u64);

impl Age {
    pub const MIN: Self = Self(1);
    pub const MAX: Self = Self(36_500 * 86_400);

    /// `n` minutes; the nearest valid duration where `n` is out of range.
    pub const fn minutes(n: u32) -> Self {
        Self::nearest(n as u64 * 60)
    }

    /// `n` hours; the nearest valid duration where `n` is out of range.
    pub const fn hours(n: u32) -> Self {
        Self::nearest(n as u64 * 3_600)
    }

    /// `n` days; the nearest valid duration where `n` is out of range.
    pub const fn days(n: u32) -> Self {
        Self::nearest(n as u64 * 86_400)
    }

    const fn nearest(seconds: u64) -> Self {
        match seconds {
            0 => Self::MIN,
            seconds if seconds > Self::MAX.0 => Self::MAX,
            seconds => Self(seconds),
        }
    }

    pub fn seconds(self) -> i64 {
        self.0.cast_signed()
    }

    pub fn micros(self) -> i64 {
        self.seconds() * 1_000_000
    }

    /// Reads the length of a window: whole minutes, because windows are counted in minutes.
    pub fn window(text: &str, allowed: &RangeInclusive<Self>) -> Result<Self, AgeError> {
        let age = text.parse::<Self>().ok().filter(|age| allowed.contains(age) && age.0.is_multiple_of(60));
        age.ok_or_else(|| AgeError {
            text: beginning(text),
            from: *allowed.start(),
            to: *allowed.end(),
            whole_minutes: true,
        })
    }

    fn read(text: &str) -> Option<Self> {
        let unit = text.chars().next_back()?;
        let (_, scale) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
        let digits = &text[..text.len() - 1];
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let seconds = digits.parse::<u64>().ok()?.checked_mul(scale)?;
        (Self::MIN.0..=Self::MAX.0).contains(&seconds).then_some(Self(seconds))
    }
}

/// A text that is not such a duration, or not one in the allowed range.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AgeError {
    text: String,
    from: Age,
    to: Age,
    whole_minutes: bool,
}

impl fmt::Display for AgeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text, from, to, whole_minutes } = self;
        let (examples, minutes) = match whole_minutes {
            true => ("30m, 24h, 7d or 4w", ", in whole minutes"),
            false => ("90s, 30m, 24h, 7d or 4w", ""),
        };
        write!(f, "expected a duration like {examples}, from {from} to {to}{minutes}, got {text:?}")
    }
}

impl std::error::Error for AgeError {}

fn beginning(text: &str) -> String {
    text.chars().take(crate::QUOTED).collect()
}

impl FromStr for Age {
    type Err = AgeError;

    fn from_str(text: &str) -> Result<Self, AgeError> {
        Self::read(text).ok_or_else(|| AgeError {
            text: beginning(text),
            from: Self::MIN,
            to: Self::MAX,
            whole_minutes: false,
        })
    }
}

/// In the longest unit up to days that divides it: `7d`, not `1w`.
impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut units = UNITS.into_iter().skip(1);
        match units.find(|(_, scale)| self.0.is_multiple_of(*scale)) {
            Some((unit, scale)) => write!(f, "{}{unit}", self.0 / scale),
            None => write!(f, "{}s", self.0),
        }
    }
}

impl From<Age> for Duration {
    fn from(age: Age) -> Self {
        Self::from_secs(age.0)
    }
}

impl Serialize for Age {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Age {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_unit_is_read() {
        for (text, seconds) in
            [("90s", 90), ("30m", 1_800), ("24h", 86_400), ("7d", 604_800), ("4w", 2_419_200), ("1s", 1)]
        {
            assert_eq!(text.parse::<Age>().map(Age::seconds), Ok(seconds));
        }
        assert_eq!(("36500d".parse(), Age::days(u32::MAX)), (Ok(Age::MAX), Age::MAX));
    }

    #[test]
    fn anything_else_is_refused_with_the_same_message() {
        let long = "9".repeat(100) + "d";
        for bad in [
            "",
            "s",
            "7",
            "7y",
            "7D",
            "0s",
            "0w",
            "00d",
            "-1d",
            "+7d",
            "1.5h",
            "1e3s",
            " 7d",
            "7d ",
            "7 d",
            "7\td",
            "1h30m",
            "7dd",
            "d7",
            "٣d",
            "７d",
            "7ď",
            "é",
            "7d\0",
            "36501d",
            "5215w",
            "18446744073709551615w",
            "18446744073709551616s",
            &long,
        ] {
            let said = bad.parse::<Age>().unwrap_err().to_string();
            let message = "expected a duration like 90s, 30m, 24h, 7d or 4w, from 1s to 36500d, got ";
            assert!(said.starts_with(message) && said.chars().count() < 160, "{bad:?}: {said}");
        }
    }

    #[test]
    fn a_window_is_of_whole_minutes_in_its_range() {
        let allowed = Age::minutes(1)..=Age::days(90);
        let window = |text| Age::window(text, &allowed);
        assert_eq!((window("120s"), window("90d")), (Ok(Age::minutes(2)), Ok(Age::days(90))));
        for bad in ["90s", "59s", "91d", "13w", "1 hour"] {
            assert_eq!(
                window(bad).unwrap_err().to_string(),
                format!(
                    "expected a duration like 30m, 24h, 7d or 4w, from 1m to 90d, in whole minutes, got {bad:?}"
                )
            );
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(seconds in prop_oneof![
            1..=Age::MAX.0,
            1..=10_000_u64,
            (1..=1_000_u64, prop::sample::select(&UNITS[..])).prop_map(|(n, (_, scale))| n * scale),
        ]) {
            let age = Age(seconds);
            prop_assert_eq!(age.to_string().parse::<Age>(), Ok(age));
            let json = serde_json::to_string(&age).unwrap();
            prop_assert_eq!(serde_json::from_str::<Age>(&json).unwrap(), age);
        }

        #[test]
        fn no_text_panics_and_what_is_read_is_valid(text in "\\PC*|[0-9]{0,22}[smhdw]?") {
            if let Ok(age) = text.parse::<Age>() {
                prop_assert!((Age::MIN..=Age::MAX).contains(&age));
            }
        }
    }
}
