//! A limit that holds across processes while Redis answers, and in each process alone while it does not.

use std::time::Instant;

use crate::{Bucket, Decision, Error, LocalBuckets, SharedBuckets};

/// Token buckets in Redis, and those of this process for the time without it: so while Redis is away, n
/// processes may grant n times as much. A caller waits for Redis at most half a second, and not at all in the
/// second after a failure.
#[derive(Default)]
pub struct Limiter {
    shared: Option<SharedBuckets>,
    local: LocalBuckets,
}

/// What a limiter decided, and why Redis did not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Taken {
    pub decision: Decision,
    /// The reason why the bucket of this process decided. `None` if Redis decided, or if there is no Redis.
    pub fallback: Option<Error>,
}

impl Limiter {
    /// Without a Redis, the limit holds for this process alone.
    pub fn new(shared: Option<SharedBuckets>) -> Self {
        Self { shared, local: LocalBuckets::default() }
    }

    /// Takes one token.
    pub async fn take(&self, name: &str, bucket: &Bucket) -> Taken {
        let fallback = match &self.shared {
            Some(shared) => match shared.take(name, bucket).await {
                Ok(decision) => return Taken { decision, fallback: None },
                Err(error) => Some(error),
            },
            None => None,
        };
        Taken { decision: self.local.take(name, bucket, Instant::now()), fallback }
    }
}
