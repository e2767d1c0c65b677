//! Daily quotas. They are counted in Postgres, in portions: a process takes 1 % of the quota at a time.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use chrono::{DateTime, NaiveDate, Utc};
use store::Store;
use web::{Problem, RateLimit};

const DAY: u64 = 86_400;
/// Largest portion.
const MOST: i64 = 1_000;
/// How long a request waits for its portion.
const LIMIT: Duration = Duration::from_secs(2);
/// A quota that is used up is looked at this often: it may have been raised.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// Most keys whose portion is remembered.
const MOST_KEYS: usize = 10_000;

/// What this process may still use of a key's day.
struct Portion {
    day: NaiveDate,
    quota: i64,
    left: i64,
    /// Requests that were left of the quota when this portion was taken.
    elsewhere: i64,
    used_up: Option<Instant>,
}

pub(crate) struct Quotas {
    store: Store,
    portions: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Portion>>>>,
}

impl Quotas {
    pub fn new(store: Store) -> Self {
        Self { store, portions: Mutex::default() }
    }

    /// Takes one request from the quota of a key.
    pub async fn take(&self, key_id: &str, quota: i64) -> Result<RateLimit, Problem> {
        let now = boot::now();
        let portion = self.portion(key_id, now.date_naive(), quota);
        let mut portion = portion.lock().await;
        if portion.day != now.date_naive() || portion.quota != quota {
            *portion = empty(now.date_naive(), quota);
        }
        if portion.left == 0 && portion.used_up.is_none_or(|at| at.elapsed() >= LOOK_AGAIN) {
            self.fill(&mut portion, key_id).await?;
        }
        let until_midnight = until_midnight(now);
        let limit = |remaining: i64| RateLimit {
            policy: "day",
            quota: quota.unsigned_abs(),
            window_seconds: DAY,
            remaining: remaining.unsigned_abs(),
            reset_seconds: until_midnight.as_secs(),
        };
        if portion.left == 0 {
            let detail = format!("the daily quota of this key, {quota} requests, is used up");
            return Err(Problem::too_many(detail, until_midnight, vec![limit(0)]));
        }
        portion.left -= 1;
        Ok(limit(portion.left + portion.elsewhere))
    }

    fn portion(&self, key_id: &str, day: NaiveDate, quota: i64) -> Arc<tokio::sync::Mutex<Portion>> {
        let mut portions = self.portions.lock().unwrap_or_else(PoisonError::into_inner);
        if portions.len() >= MOST_KEYS && !portions.contains_key(key_id) {
            portions.clear();
        }
        let new = || Arc::new(tokio::sync::Mutex::new(empty(day, quota)));
        portions.entry(key_id.to_owned()).or_insert_with(new).clone()
    }

    async fn fill(&self, portion: &mut Portion, key_id: &str) -> Result<(), Problem> {
        let size = (portion.quota / 100).clamp(1, MOST);
        let take = async {
            let mut connection = self.store.connection().await?;
            store::keys::take_quota(&mut connection, key_id, portion.day, portion.quota, size).await
        };
        let away = || Problem::unavailable("the daily quota cannot be counted now: the database is away");
        let outcome = tokio::time::timeout(LIMIT, take).await.map_err(|_| away())?;
        let (taken, left) = outcome.map_err(|error| {
            tracing::debug!(%error, "could not take a portion of a daily quota");
            away()
        })?;
        (portion.left, portion.elsewhere) = (taken, left);
        portion.used_up = (taken == 0).then(Instant::now);
        Ok(())
    }
}

fn empty(day: NaiveDate, quota: i64) -> Portion {
    Portion { day, quota, left: 0, elsewhere: 0, used_up: None }
}

fn until_midnight(now: DateTime<Utc>) -> Duration {
    let today = now.timestamp().rem_euclid(86_400).unsigned_abs();
    Duration::from_secs(DAY - today)
}
