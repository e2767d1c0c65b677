//! Writes times as text with integer arithmetic only.

/// `2026-07-14T15:56:15.034392Z`. Old versions omit a fraction of 0.
pub fn written(micros: i64, drop_zero: bool) -> String {
    let (year, month, day) = date(micros);
    let seconds = micros.div_euclid(1_000_000).rem_euclid(86_400);
    let mut text = *b"0000-00-00T00:00:00.000000Z";
    digits(&mut text[0..4], i64::from(year));
    digits(&mut text[5..7], i64::from(month));
    digits(&mut text[8..10], i64::from(day));
    digits(&mut text[11..13], seconds / 3600);
    digits(&mut text[14..16], seconds / 60 % 60);
    digits(&mut text[17..19], seconds % 60);
    let fraction = micros.rem_euclid(1_000_000);
    digits(&mut text[20..26], fraction);
    let mut text = String::from_utf8_lossy(&text).into_owned();
    if drop_zero && fraction == 0 {
        text.replace_range(19..26, "");
    }
    text
}

/// `20170211-105425`.
pub fn compact(micros: i64) -> String {
    written(micros, false)[..19].replace(['-', ':'], "").replace('T', "-")
}

fn digits(into: &mut [u8], mut value: i64) {
    for digit in into.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// Year, month, day, UTC.
pub fn date(micros: i64) -> (i32, u32, u32) {
    let days = micros.div_euclid(86_400_000_000) + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year as i32, month as u32, (of_year - (153 * shifted + 2) / 5 + 1) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_so_that_it_is_read_again() {
        for at in [1_420_070_400_000_000, 1_582_934_400_123_456, 1_709_251_199_999_999, 4_102_444_799_000_001]
        {
            assert_eq!(events::time::read(&written(at, false)), Some(at));
        }
        assert_eq!(written(1_529_118_000_000_000, true), "2018-06-16T03:00:00Z");
        assert_eq!(compact(1_529_118_000_000_000), "20180616-030000");
    }
}
