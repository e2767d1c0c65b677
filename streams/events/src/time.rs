//! Parses timestamps in all forms that Cowrie's versions write.

use chrono::NaiveDate;

/// The earliest plausible time of a log, 2015-01-01, in microseconds since 1970.
const EARLIEST: i64 = 1_420_070_400_000_000;
/// The first time that is too late to be plausible, 2100-01-01.
const LATEST: i64 = 4_102_444_800_000_000;

/// Parses `YYYY-MM-DDTHH:MM:SS[.f{1,9}]` followed by `Z`, `+HHMM`, `-HHMM`, `+HH:MM` or `-HH:MM` (a space may
/// replace the `T`). Returns microseconds since 1970, UTC; `None` when unreadable or outside 2015–2099.
pub fn read(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| digits(bytes.get(from..to)?);
    let mark = |at: usize, allowed: &[u8]| bytes.get(at).is_some_and(|c| allowed.contains(c));
    if !(mark(4, b"-") && mark(7, b"-") && mark(10, b"T ") && mark(13, b":") && mark(16, b":")) {
        return None;
    }
    let date = NaiveDate::from_ymd_opt(
        number(0, 4)?,
        number(5, 7)?.try_into().ok()?,
        number(8, 10)?.try_into().ok()?,
    )?;
    let clock = date.and_hms_opt(
        number(11, 13)?.try_into().ok()?,
        number(14, 16)?.try_into().ok()?,
        number(17, 19)?.try_into().ok()?,
    )?;
    let (micros, zone) = fraction(&bytes[19..])?;
    let at = clock.and_utc().timestamp() * 1_000_000 + micros - offset(zone)?;
    (EARLIEST..LATEST).contains(&at).then_some(at)
}

/// Parses a number of up to 9 ASCII digits.
fn digits(bytes: &[u8]) -> Option<i32> {
    if bytes.is_empty() || bytes.len() > 9 || !bytes.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(bytes.iter().fold(0, |n, c| n * 10 + i32::from(c - b'0')))
}

/// Splits `.034392Z` into microseconds (truncated) and the zone.
fn fraction(rest: &[u8]) -> Option<(i64, &[u8])> {
    let Some(rest) = rest.strip_prefix(b".") else { return Some((0, rest)) };
    let length = rest.iter().take_while(|c| c.is_ascii_digit()).count();
    let (fraction, zone) = rest.split_at(length);
    let nanos = i64::from(digits(fraction)?) * 10_i64.pow(9 - u32::try_from(length).ok()?);
    Some((nanos / 1000, zone))
}

/// The offset of the zone from UTC in microseconds.
fn offset(zone: &[u8]) -> Option<i64> {
    let (sign, hours, minutes) = match zone {
        b"Z" => return Some(0),
        [sign, h @ .., b':', m1, m2] if h.len() == 2 => (sign, digits(h)?, digits(&[*m1, *m2])?),
        [sign, h1, h2, m1, m2] => (sign, digits(&[*h1, *h2])?, digits(&[*m1, *m2])?),
        _ => return None,
    };
    if hours > 23 || minutes > 59 {
        return None;
    }
    let seconds = i64::from(hours * 3600 + minutes * 60);
    match sign {
        b'+' => Some(seconds * 1_000_000),
        b'-' => Some(-seconds * 1_000_000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_that_cowrie_wrote_is_read() {
        let at = 1_529_118_000_000_000;
        for (text, micros) in [
            ("2018-06-16T03:00:00Z", at),
            ("2018-06-16T03:00:00.000001Z", at + 1),
            ("2018-06-16T03:00:00.5Z", at + 500_000),
            ("2018-06-16T03:00:00.1234567Z", at + 123_456),
            ("2018-06-16T05:00:00.000000+0200", at),
            ("2018-06-16T05:00:00+02:00", at),
            ("2018-06-15 21:30:00-0530", at),
        ] {
            assert_eq!(read(text), Some(micros), "{text}");
        }
    }

    #[test]
    fn anything_else_has_no_time() {
        for text in [
            "",
            "Z",
            "2018-06-16",
            "2018-06-16T03:00:00",
            "2018-02-30T03:00:00Z",
            "2018-06-16T24:00:00Z",
            "2018-06-16T03:00:60Z",
            "2018-06-16T03:00:00.Z",
            "2018-06-16T03:00:00.0000000001Z",
            "2018-06-16T03:00:00+25:00",
            "2018-06-16T03:00:00x0200",
            "2014-12-31T23:59:59.999999Z",
            "2100-01-01T00:00:00Z",
            "1970-01-01T00:00:00Z",
            "-018-06-16T03:00:00Z",
            "2018-06-16T03:00:00\u{e9}",
            "+018-06-16T03:00:00Z",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
