//! Token buckets per key and class.

use std::time::Duration;

use anyhow::Context as _;
use boot::Duty;
use mirror::{Bucket, Decision, Limiter, SharedBuckets};
use web::{Class, Problem, RateLimit};

use crate::Args;

const MINUTE: u64 = 60;

pub(crate) struct Limits {
    limiter: Limiter,
    read: Bucket,
    write: Bucket,
    stream: Bucket,
    duty: Duty,
}

impl Limits {
    pub fn new(args: &Args, redis_url: Option<&str>) -> anyhow::Result<Self> {
        let bucket = |per_minute: u32| {
            let per_second = f64::from(per_minute) / 60.0;
            Bucket::new(per_minute, per_second).with_context(|| format!("a limit of {per_minute} per minute"))
        };
        let shared = redis_url.map(SharedBuckets::new).transpose()?;
        Ok(Self {
            limiter: Limiter::new(shared),
            read: bucket(args.reads_per_minute)?,
            write: bucket(args.writes_per_minute)?,
            stream: bucket(args.streams_per_minute)?,
            duty: Duty::new("share the limits of API keys through Redis"),
        })
    }

    /// Takes one request from what a key may send.
    pub async fn take(&self, key_id: &str, class: Class) -> Result<RateLimit, Problem> {
        let bucket = match class {
            Class::Read => &self.read,
            Class::Write => &self.write,
            Class::Stream => &self.stream,
        };
        let taken = self.limiter.take(&format!("key:{key_id}:{}", class.name()), bucket).await;
        self.duty.report(taken.fallback.map_or(Ok(()), Err));
        let quota = bucket.capacity();
        let limit = |remaining: u32, reset_seconds: u64| RateLimit {
            policy: class.name(),
            quota: quota.into(),
            window_seconds: MINUTE,
            remaining: remaining.into(),
            reset_seconds,
        };
        match taken.decision {
            Decision::Granted { remaining } => {
                let until_full = f64::from(quota.saturating_sub(remaining)) / bucket.per_second();
                Ok(limit(remaining, until_full.ceil() as u64))
            }
            Decision::Denied { retry_after } => {
                let detail = format!("at most {quota} {} requests per minute with this key", class.name());
                let after = retry_after.max(Duration::from_millis(1));
                let limits = vec![limit(0, after.as_secs_f64().ceil() as u64)];
                Err(Problem::too_many(detail, after, limits))
            }
        }
    }
}
