//! Cron expressions: parsed strictly, and evaluated in bounded time.
//!
//! Five fields (minute, hour, day of month, month, day of week), or six with seconds first; UTC. A field is a
//! list of `*`, `a`, `a-b`, each with `/step` if wanted; months and days of the week may be names. Days of
//! the month also know `L` (the last) and `15W` (the weekday closest to the 15th), days of the week `5L` (the
//! last Friday) and `5#2` (the second). Where both kinds of days are restricted, either fires.

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveTime, TimeDelta, Timelike, Utc};

/// Longest expression.
const LONGEST: usize = 100;
/// How far an expression is followed before it counts as one that never fires. Weekdays and leap years repeat
/// within 40 years, also over 2100.
const HORIZON_YEARS: i32 = 41;
/// As a number of a weekday: its last one in the month.
const LAST: u8 = 6;

/// A cron expression that fires again and again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cron {
    seconds: u64,
    minutes: u64,
    hours: u64,
    months: u64,
    days: DaysOfMonth,
    weekdays: Weekdays,
}

/// Which days of a month.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
struct DaysOfMonth {
    any: bool,
    days: u64,
    last: bool,
    /// `15W`, by bit.
    closest_weekdays: u64,
}

/// Which days of a week; Sunday is 0.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
struct Weekdays {
    any: bool,
    days: u64,
    /// `5#2` and `5L`: of each weekday, the numbers 1 to 5 and [`LAST`], by bit.
    numbered: [u8; 7],
}

/// The values of a field, and its names.
struct Field {
    name: &'static str,
    least: u64,
    most: u64,
    /// The last value that may be written; Sunday is also 7.
    last_written: u64,
    names: &'static [&'static str],
}

const SECOND: Field = Field { name: "second", least: 0, most: 59, last_written: 59, names: &[] };
const MINUTE: Field = Field { name: "minute", ..SECOND };
const HOUR: Field = Field { name: "hour", least: 0, most: 23, last_written: 23, names: &[] };
const DAY: Field = Field { name: "day of month", least: 1, most: 31, last_written: 31, names: &[] };
const MONTHS: &[&str] = &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const MONTH: Field = Field { name: "month", least: 1, most: 12, last_written: 12, names: MONTHS };
const WEEKDAY: Field = Field {
    name: "day of week",
    least: 0,
    most: 6,
    last_written: 7,
    names: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
};

impl Cron {
    /// Reads an expression. Refuses what cannot be meant, and what never fires.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > LONGEST {
            return Err(format!("longer than {LONGEST} characters"));
        }
        let text = text.to_ascii_uppercase();
        let fields: Vec<_> = match text.trim() {
            "@YEARLY" | "@ANNUALLY" => "0 0 1 1 *",
            "@MONTHLY" => "0 0 1 * *",
            "@WEEKLY" => "0 0 * * 0",
            "@DAILY" | "@MIDNIGHT" => "0 0 * * *",
            "@HOURLY" => "0 * * * *",
            text => text,
        }
        .split_ascii_whitespace()
        .collect();
        let (second, [minute, hour, day, month, weekday]) = match fields[..] {
            [minute, hour, day, month, weekday] => ("0", [minute, hour, day, month, weekday]),
            [second, minute, hour, day, month, weekday] => (second, [minute, hour, day, month, weekday]),
            _ => {
                return Err(format!("expected five fields, or six with seconds first, got {}", fields.len()));
            }
        };
        let cron = Self {
            seconds: SECOND.values(second)?,
            minutes: MINUTE.values(minute)?,
            hours: HOUR.values(hour)?,
            days: DaysOfMonth::parse(day)?,
            months: MONTH.values(month)?,
            weekdays: Weekdays::parse(weekday)?,
        };
        // From any moment on it either fires within the horizon or never.
        if cron.next(DateTime::UNIX_EPOCH).is_none() {
            return Err("never fires: no such day exists".into());
        }
        Ok(cron)
    }

    /// The first firing after a moment; `None` when there is none that can be written down.
    pub fn next(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let from = after.checked_add_signed(TimeDelta::seconds(1))?.with_nanosecond(0)?;
        let (mut date, mut time) = (from.date_naive(), from.time());
        let end = date.year().checked_add(HORIZON_YEARS)?.min(9_999);
        while date.year() <= end {
            if !has(self.months, date.month()) {
                date = first_of_next_month(date)?;
            } else {
                if let Some(time) = self.days_match(date).then(|| self.first_time(time)).flatten() {
                    return Some(date.and_time(time).and_utc());
                }
                date = date.checked_add_days(Days::new(1))?;
            }
            time = NaiveTime::MIN;
        }
        None
    }

    /// The last firing at or before a moment, but not before `oldest`.
    pub fn previous(&self, at: DateTime<Utc>, oldest: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let (mut date, mut time) = (at.date_naive(), at.time().with_nanosecond(0)?);
        let end =
            oldest.date_naive().max(NaiveDate::from_ymd_opt(date.year().checked_sub(HORIZON_YEARS)?, 1, 1)?);
        while date >= end {
            if !has(self.months, date.month()) {
                date = date.with_day(1)?.checked_sub_days(Days::new(1))?;
            } else {
                if let Some(time) = self.days_match(date).then(|| self.last_time(time)).flatten() {
                    return Some(date.and_time(time).and_utc()).filter(|&found| found >= oldest);
                }
                date = date.checked_sub_days(Days::new(1))?;
            }
            time = NaiveTime::from_hms_opt(23, 59, 59)?;
        }
        None
    }

    fn days_match(&self, date: NaiveDate) -> bool {
        match (self.days.any, self.weekdays.any) {
            (true, true) => true,
            (true, false) => self.weekdays.has(date),
            (false, true) => self.days.has(date),
            (false, false) => self.days.has(date) || self.weekdays.has(date),
        }
    }

    /// The first time of a day from one on.
    fn first_time(&self, from: NaiveTime) -> Option<NaiveTime> {
        let hour = first(self.hours, from.hour())?;
        let same_hour = hour == from.hour();
        let minute = first(self.minutes, if same_hour { from.minute() } else { 0 });
        let second = |minute| {
            first(self.seconds, if same_hour && minute == from.minute() { from.second() } else { 0 })
        };
        if let Some(minute) = minute {
            if let Some(second) = second(minute) {
                return NaiveTime::from_hms_opt(hour, minute, second);
            }
            if let Some(minute) = first(self.minutes, minute + 1) {
                return NaiveTime::from_hms_opt(hour, minute, first(self.seconds, 0)?);
            }
        }
        NaiveTime::from_hms_opt(
            first(self.hours, hour + 1)?,
            first(self.minutes, 0)?,
            first(self.seconds, 0)?,
        )
    }

    /// The last time of a day up to one.
    fn last_time(&self, to: NaiveTime) -> Option<NaiveTime> {
        let hour = last(self.hours, to.hour() + 1)?;
        let same_hour = hour == to.hour();
        let minute = last(self.minutes, if same_hour { to.minute() + 1 } else { 60 });
        let second = |minute| {
            last(self.seconds, if same_hour && minute == to.minute() { to.second() + 1 } else { 60 })
        };
        if let Some(minute) = minute {
            if let Some(second) = second(minute) {
                return NaiveTime::from_hms_opt(hour, minute, second);
            }
            if let Some(minute) = last(self.minutes, minute) {
                return NaiveTime::from_hms_opt(hour, minute, last(self.seconds, 60)?);
            }
        }
        NaiveTime::from_hms_opt(last(self.hours, hour)?, last(self.minutes, 60)?, last(self.seconds, 60)?)
    }
}

impl DaysOfMonth {
    fn parse(text: &str) -> Result<Self, String> {
        let mut parsed = Self { any: matches!(text, "*" | "?"), ..Self::default() };
        if parsed.any {
            return Ok(parsed);
        }
        for part in text.split(',') {
            match (part, part.strip_suffix('W')) {
                ("L", _) => parsed.last = true,
                (_, Some(day)) => parsed.closest_weekdays |= 1 << DAY.value(day)?,
                _ => parsed.days |= DAY.part(part)?,
            }
        }
        Ok(parsed)
    }

    fn has(&self, date: NaiveDate) -> bool {
        let length = u32::from(date.num_days_in_month());
        let closest = |day: u32| {
            date.with_day(day).and_then(|target| closest_weekday(target, length)) == Some(date.day())
        };
        has(self.days, date.day())
            || (self.last && date.day() == length)
            || (1..=length).any(|day| has(self.closest_weekdays, day) && closest(day))
    }
}

/// The day of the weekday that is closest to a day, within its month.
fn closest_weekday(target: NaiveDate, length: u32) -> Option<u32> {
    let day = target.day();
    match target.weekday() {
        chrono::Weekday::Sat if day == 1 => Some(3),
        chrono::Weekday::Sat => Some(day - 1),
        chrono::Weekday::Sun if day == length => day.checked_sub(2),
        chrono::Weekday::Sun => Some(day + 1),
        _ => Some(day),
    }
}

impl Weekdays {
    fn parse(text: &str) -> Result<Self, String> {
        let mut parsed = Self { any: matches!(text, "*" | "?"), ..Self::default() };
        if parsed.any {
            return Ok(parsed);
        }
        for part in text.split(',') {
            let (day, number) = match (part.split_once('#'), part.strip_suffix('L')) {
                (Some((day, "L")), _) | (None, Some(day)) => (day, LAST),
                (Some((day, number)), _) => {
                    let number = number.parse().ok().filter(|number| (1..=5).contains(number));
                    (day, number.ok_or_else(|| format!("{part}: expected 1 to 5 or L after #"))?)
                }
                (None, None) => {
                    parsed.days |= WEEKDAY.part(part)?;
                    continue;
                }
            };
            if let Some(numbers) = parsed.numbered.get_mut(WEEKDAY.value(day)? as usize % 7) {
                *numbers |= 1 << number;
            }
        }
        // Sunday is 0 and 7.
        parsed.days = (parsed.days | parsed.days >> 7) & 0x7f;
        Ok(parsed)
    }

    fn has(&self, date: NaiveDate) -> bool {
        let weekday = date.weekday().num_days_from_sunday();
        let numbers = self.numbered.get(weekday as usize).copied().unwrap_or_default();
        let number = (date.day() - 1) / 7 + 1;
        let last = date.day() + 7 > u32::from(date.num_days_in_month());
        has(self.days, weekday) || has(numbers.into(), number) || (last && has(numbers.into(), LAST.into()))
    }
}

impl Field {
    /// The values of a whole field, by bit.
    fn values(&self, text: &str) -> Result<u64, String> {
        text.split(',').try_fold(0, |values, part| Ok(values | self.part(part)?))
    }

    /// The values of one part of a list.
    fn part(&self, part: &str) -> Result<u64, String> {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (part, None),
        };
        let (from, to) = match range.split_once('-') {
            None if range == "*" => (self.least, self.most),
            None => {
                let value = self.value(range)?;
                (value, if step.is_some() { self.most.max(value) } else { value })
            }
            Some((from, to)) => {
                let (from, to) = (self.value(from)?, self.value(to)?);
                // SAT-SUN: the Sunday after.
                (
                    from,
                    if to == 0 && from > 0 && self.last_written > self.most { self.last_written } else { to },
                )
            }
        };
        if from > to {
            return Err(format!("{}: {range} runs backwards", self.name));
        }
        let step = match step {
            None => 1,
            Some(step) => {
                let most = to - from;
                let step = digits(step).filter(|step| (1..=most).contains(step));
                step.ok_or_else(|| format!("{}: {part}: expected a step of 1 to {most}", self.name))?
            }
        };
        Ok((from..=to).step_by(step as usize).fold(0, |values, value| values | 1 << value))
    }

    fn value(&self, text: &str) -> Result<u64, String> {
        let named = self.names.iter().position(|name| *name == text).map(|n| n as u64 + self.least);
        let value =
            named.or_else(|| digits(text)).filter(|value| (self.least..=self.last_written).contains(value));
        value.ok_or_else(|| {
            format!("{}: expected {} to {}, got {text:?}", self.name, self.least, self.last_written)
        })
    }
}

/// One or two digits.
fn digits(text: &str) -> Option<u64> {
    let plain = (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

fn has(values: u64, value: u32) -> bool {
    values.checked_shr(value).is_some_and(|rest| rest & 1 == 1)
}

/// The first value from one on.
fn first(values: u64, from: u32) -> Option<u32> {
    let rest = values.checked_shr(from).filter(|rest| *rest != 0)?;
    Some(from + rest.trailing_zeros())
}

/// The last value below one.
fn last(values: u64, below: u32) -> Option<u32> {
    let rest = values & 1_u64.checked_shl(below).map_or(u64::MAX, |bit| bit - 1);
    rest.checked_ilog2()
}

fn first_of_next_month(date: NaiveDate) -> Option<NaiveDate> {
    date.with_day(1)?.checked_add_months(chrono::Months::new(1))
}

#[cfg(test)]
mod tests {
    use croner::parser::{CronParser, Seconds};
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn next(cron: &str, after: &str) -> String {
        Cron::parse(cron).unwrap().next(at(after)).unwrap().to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for wrong in [
            "",
            " ",
            "* * * *",
            "* * * * * * *",
            "0 0 1 1 * 2030",
            ", * * * *",
            "1,,2 * * * *",
            "1, * * * *",
            "*/61 * * * *",
            "*/60 * * * *",
            "*/0 * * * *",
            "* */24 * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * 32 * *",
            "* * * 13 *",
            "* * * * 8",
            "5-3 * * * *",
            "1-2-3 * * * *",
            "*-5 * * * *",
            "/5 * * * *",
            "* * 31 2 *",
            "* * 30 FEB *",
            "0 0 31 4,6,9,11 *",
            "* * W * *",
            "* * LW * *",
            "* * * * 5#6",
            "* * * * 5#",
            "* * * * L",
            "* * * * FRIL#2",
            "+1 * * * *",
            "-1 * * * *",
            "1.5 * * * *",
            "001 * * * *",
            "@reboot",
            "@every 5s",
            "JAN * * * *",
            "* * * * MONDAY",
            "10-20/30 * * * *",
            "\u{661} * * * *",
        ] {
            assert!(Cron::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn firings_come_when_they_should() {
        assert_eq!(next("0 6 * * 1", "2026-11-27T17:00:00Z"), "2026-11-30T06:00:00Z");
        assert_eq!(next("*/2 * * * * *", "2026-11-27T17:00:00.9Z"), "2026-11-27T17:00:02Z");
        assert_eq!(next("0 0 29 2 *", "2096-03-01T00:00:00Z"), "2104-02-29T00:00:00Z");
        assert_eq!(next("0 0 L * *", "2026-02-01T00:00:00Z"), "2026-02-28T00:00:00Z");
        assert_eq!(next("0 0 15W * *", "2026-08-01T00:00:00Z"), "2026-08-14T00:00:00Z");
        assert_eq!(next("0 12 * * FRI#2", "2026-11-14T00:00:00Z"), "2026-12-11T12:00:00Z");
        assert_eq!(next("0 12 * * 5L", "2026-11-01T00:00:00Z"), "2026-11-27T12:00:00Z");
        assert_eq!(next("59 59 23 31 12 SAT-SUN", "2026-12-31T23:59:58Z"), "2026-12-31T23:59:59Z");
        assert_eq!(Cron::parse("* * * * *").unwrap().next(at("9999-12-31T23:59:00Z")), None);
    }

    fn field(least: u32, most: u32) -> impl Strategy<Value = String> {
        let part = prop_oneof![
            (least..=most).prop_map(|a| a.to_string()),
            (least..=most, least..=most).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
            (1..most - least).prop_map(|step| format!("*/{step}")),
        ];
        prop_oneof![2 => Just("*".to_owned()), 3 => prop::collection::vec(part, 1..3).prop_map(|parts| parts.join(","))]
    }

    proptest! {
        #[test]
        fn firings_are_those_of_another_implementation(
            cron in (field(0, 59), field(0, 59), field(0, 23), prop_oneof![4 => field(1, 31), 1 => Just("L".to_owned()), 1 => (1..=31).prop_map(|day| format!("{day}W"))],
                field(1, 12), prop_oneof![4 => field(0, 6), 1 => (0..=6, 1..=5).prop_map(|(day, n)| format!("{day}#{n}")), 1 => (0..=6).prop_map(|day| format!("{day}L"))])
                .prop_map(|(a, b, c, d, e, f)| [a, b, c, d, e, f].join(" ")),
            seconds in 1_700_000_000_i64..1_900_000_000,
        ) {
            let after = DateTime::from_timestamp(seconds, 0).unwrap();
            let theirs = CronParser::builder().seconds(Seconds::Required).build().parse(&cron).unwrap();
            if let Ok(ours) = Cron::parse(&cron) {
                let next = ours.next(after).unwrap();
                prop_assert_eq!(next, theirs.find_next_occurrence(&after, false).unwrap(), "{}", cron);
                prop_assert_eq!(ours.previous(next, after), Some(next));
                // Nothing fires in between.
                prop_assert_eq!(ours.previous(next - TimeDelta::seconds(1), after + TimeDelta::seconds(1)), None);
            }
        }

        #[test]
        fn no_text_panics(text in "[ -~]{0,40}|[0-9*,/LW#? -]{0,40}") {
            if let Ok(cron) = Cron::parse(&text) {
                prop_assert!(cron.next(DateTime::UNIX_EPOCH).is_some());
            }
        }
    }
}
