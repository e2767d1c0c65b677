//! Token buckets of this process alone, for the time without Redis.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::{Bucket, Decision};

/// Most buckets that are not full. Beyond it, full ones are dropped; if most are in use, all of them are.
const MOST: usize = 65_536;

/// Token buckets of this process. A bucket exists only while it is not full.
#[derive(Default)]
pub struct LocalBuckets(Mutex<HashMap<String, Instant>>);

impl LocalBuckets {
    /// Takes one token.
    pub fn take(&self, name: &str, bucket: &Bucket, now: Instant) -> Decision {
        let mut full_at = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let until_full = full_at.get(name).map_or(0, |&at| micros(at.saturating_duration_since(now)));
        let (granted, until_full) = bucket.take(until_full);
        if granted {
            if full_at.len() >= MOST && !full_at.contains_key(name) {
                make_room(&mut full_at, now);
            }
            full_at.insert(name.to_owned(), now + Duration::from_micros(until_full));
        }
        bucket.decision(granted, until_full)
    }
}

/// Rounded up, so that no token comes early.
fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_nanos().div_ceil(1_000)).unwrap_or(u64::MAX)
}

fn make_room(full_at: &mut HashMap<String, Instant>, now: Instant) {
    full_at.retain(|_, at| *at > now);
    // Otherwise each of the next calls would look through all of them.
    if full_at.len() > MOST / 2 {
        full_at.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_window_of_time_grants_more_than_the_limit(
            capacity in 1..20u32,
            per_second in 0.5f64..2_000.0,
            pauses in proptest::collection::vec(0..40_000u64, 1..80),
        ) {
            let (buckets, bucket) = (LocalBuckets::default(), Bucket::new(capacity, per_second).unwrap());
            let (start, mut elapsed, mut granted) = (Instant::now(), 0, Vec::new());
            for pause in pauses {
                elapsed += pause;
                if buckets.take("key", &bucket, start + Duration::from_micros(elapsed)).is_granted() {
                    granted.push(elapsed);
                }
            }
            prop_assert!(!granted.is_empty());
            for (n, from) in granted.iter().enumerate() {
                for (m, to) in granted.iter().enumerate().skip(n) {
                    let allowed = u64::from(capacity) + (to - from) / bucket.interval();
                    prop_assert!((m - n + 1) as u64 <= allowed, "{} in {} us", m - n + 1, to - from);
                }
            }
        }
    }

    #[test]
    fn callers_with_many_names_do_not_fill_the_memory() {
        let (buckets, bucket) = (LocalBuckets::default(), Bucket::new(1, 0.001).unwrap());
        let now = Instant::now();
        for n in 0..MOST + 10 {
            assert!(buckets.take(&n.to_string(), &bucket, now).is_granted());
        }
        assert!(buckets.0.lock().unwrap().len() <= MOST);
    }
}
