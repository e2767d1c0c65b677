//! A token bucket: what it grants, and how it refills.
//!
//! Its state is a single number: the time until it is full again. All arithmetic is in whole microseconds, in
//! Rust and in Lua alike.

use std::time::Duration;

/// Most tokens per second: one per microsecond.
const HIGHEST_RATE: f64 = 1e6;
/// Longest time that an empty bucket may need to fill: 400 days. All times are exact in a double-precision
/// number.
const LONGEST_FILL: u64 = 400 * 86_400 * 1_000_000;

/// A limit: bursts of up to `capacity`, and a steady rate. Within a time t it grants at most capacity + rate
/// × t.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bucket {
    capacity: u32,
    /// Microseconds per token.
    interval: u64,
}

impl Bucket {
    /// `None` if the capacity is 0, if the rate is not within (0, 1 000 000], or if an empty bucket would
    /// need more than 400 days to fill. The interval between two tokens is rounded up to a microsecond.
    pub fn new(capacity: u32, per_second: f64) -> Option<Self> {
        if capacity == 0 || !(per_second > 0.0 && per_second <= HIGHEST_RATE) {
            return None;
        }
        let interval = (1e6 / per_second).ceil();
        let bucket = Self { capacity, interval: interval as u64 };
        (interval * f64::from(capacity) <= LONGEST_FILL as f64).then_some(bucket)
    }

    pub fn capacity(&self) -> u32 {
        self.capacity
    }

    /// Tokens per second.
    pub fn per_second(&self) -> f64 {
        1e6 / self.interval as f64
    }

    /// Microseconds per token.
    pub(crate) fn interval(&self) -> u64 {
        self.interval
    }

    /// Microseconds until an empty bucket is full.
    pub(crate) fn fill_time(&self) -> u64 {
        u64::from(self.capacity) * self.interval
    }

    /// Takes a token from a bucket that would be full after `until_full` microseconds; returns that time
    /// after the attempt. As in `take.lua`.
    pub(crate) fn take(&self, until_full: u64) -> (bool, u64) {
        // More than an empty bucket needs: the bucket was larger before.
        let until_full = until_full.min(self.fill_time());
        let granted = until_full + self.interval <= self.fill_time();
        (granted, if granted { until_full + self.interval } else { until_full })
    }

    /// The answer to a caller, given the state after its attempt.
    pub(crate) fn decision(&self, granted: bool, until_full: u64) -> Decision {
        let left = self.fill_time().saturating_sub(until_full);
        if granted {
            return Decision::Granted { remaining: u32::try_from(left / self.interval).unwrap_or(u32::MAX) };
        }
        Decision::Denied { retry_after: Duration::from_micros(self.interval.saturating_sub(left)) }
    }
}

/// Whether a caller may go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decision {
    /// A token was taken. This many whole tokens are left.
    Granted { remaining: u32 },
    /// No token was left; there is one after this time, unless another caller takes it.
    Denied { retry_after: Duration },
}

impl Decision {
    pub fn is_granted(&self) -> bool {
        matches!(self, Self::Granted { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_has_a_capacity_and_a_rate_that_can_be_counted() {
        for (capacity, rate) in [(0, 1.0), (1, 0.0), (1, -1.0), (1, f64::NAN), (1, f64::INFINITY), (1, 2e6)] {
            assert_eq!(Bucket::new(capacity, rate), None, "{capacity} {rate}");
        }
        assert_eq!(Bucket::new(u32::MAX, 1.0), None, "136 years");
        assert_eq!(Bucket::new(1, f64::MIN_POSITIVE), None);
        assert!(Bucket::new(u32::MAX, 1e6).is_some());
        // A thousand per day.
        let quota = Bucket::new(1_000, 1_000.0 / 86_400.0).expect("a bucket");
        assert_eq!((quota.interval(), quota.fill_time()), (86_400_000, 86_400_000_000));
        // Rounded down, never up.
        assert!(Bucket::new(1, 300_000.0).expect("a bucket").per_second() <= 300_000.0);
    }

    #[test]
    fn a_bucket_gives_its_capacity_and_then_says_when() {
        let bucket = Bucket::new(2, 10.0).expect("a bucket");
        let (granted, until_full) = bucket.take(0);
        assert_eq!(bucket.decision(granted, until_full), Decision::Granted { remaining: 1 });
        let (granted, until_full) = bucket.take(until_full);
        assert_eq!(bucket.decision(granted, until_full), Decision::Granted { remaining: 0 });
        let (granted, until_full) = bucket.take(until_full - 30_000);
        let denied = Decision::Denied { retry_after: Duration::from_millis(70) };
        assert_eq!(bucket.decision(granted, until_full), denied);
        assert!(bucket.take(until_full - 70_000).0);
    }
}
