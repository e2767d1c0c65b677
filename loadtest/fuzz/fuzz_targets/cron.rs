//! Fuzzes cron expressions. An expression is refused, or it fires repeatedly and in order, and looking back
//! finds the same firings. A slow one is a failure (see `-timeout` in tools/fuzz).
#![no_main]

use chrono::{DateTime, TimeDelta};
use jobs::Cron;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let Ok(cron) = Cron::parse(text) else { return };
    let mut before = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
    for _ in 0..10 {
        let next = cron.next(before).unwrap();
        assert!(next > before);
        assert_eq!(cron.previous(next, before), Some(next));
        assert_eq!(cron.previous(next - TimeDelta::seconds(1), before + TimeDelta::seconds(1)), None);
        before = next;
    }
    cron.next(DateTime::from_timestamp(253_402_300_799, 0).unwrap());
    cron.previous(DateTime::from_timestamp(-62_135_596_800, 0).unwrap(), DateTime::<chrono::Utc>::MIN_UTC);
    cron.next(DateTime::<chrono::Utc>::MAX_UTC);
});
