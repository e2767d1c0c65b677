//! `--since` and `--until`: a duration back from an end, or a time.

use std::str::FromStr;

use fields::Age;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Since {
    /// So long before the end.
    Age(Age),
    /// Microseconds since 1970.
    At(i64),
}

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let time = || events::time::read(text).map(Self::At);
        text.parse()
            .map(Self::Age)
            .or_else(|error| time().ok_or_else(|| format!("{error}; or a time like 2026-11-23T10:00:00Z")))
    }
}

impl Since {
    /// In microseconds since 1970, where an age ends at `end`.
    pub fn before(self, end: i64) -> i64 {
        match self {
            Self::Age(age) => end.saturating_sub(age.micros()),
            Self::At(at) => at,
        }
    }

    /// In microseconds since 1970, where an age ends now.
    pub fn before_now(self) -> i64 {
        self.before(boot::now().timestamp_micros())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_duration_before_the_end_or_a_time() {
        const END: i64 = 1_790_000_000_000_000;
        let before = |text: &str| text.parse::<Since>().map(|since| since.before(END));
        assert_eq!(before("90s"), Ok(END - 90_000_000));
        assert_eq!(before("4w"), Ok(END - 28 * 86_400_000_000));
        assert_eq!(before("2018-06-16T03:00:00Z"), Ok(1_529_118_000_000_000));
        for bad in ["", "d", "-1d", "7", "7y", "99999999999d", "é", "yesterday", "2018-06-16"] {
            let said = before(bad).unwrap_err();
            assert!(
                said.contains("90s, 30m, 24h, 7d or 4w")
                    && said.ends_with("a time like 2026-11-23T10:00:00Z"),
                "{bad}: {said}"
            );
        }
    }
}
