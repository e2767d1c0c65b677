//! Token buckets in Redis, shared by all processes that use the same name.

use std::time::Duration;

use crate::{
    Bucket, Decision, Error,
    connection::{Connection, Limits},
    keys,
};

/// A request waits for its bucket, so these are short.
const LIMITS: Limits = Limits { connect: Duration::from_millis(250), answer: Duration::from_millis(250) };
const TAKE: &str = include_str!("take.lua");

/// Token buckets in Redis; the clock is that of Redis. A wiped Redis means full buckets. Cheap to clone.
#[derive(Clone)]
pub struct SharedBuckets(Connection);

impl SharedBuckets {
    /// Connects when a token is taken.
    pub fn new(url: &str) -> Result<Self, Error> {
        Ok(Self(Connection::new(url, LIMITS)?))
    }

    /// Takes one token. An error says that Redis did not decide; the caller then asks
    /// [`crate::LocalBuckets`], as [`crate::Limiter`] does.
    pub async fn take(&self, name: &str, bucket: &Bucket) -> Result<Decision, Error> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("EVAL").arg(TAKE).arg(1).arg(keys::bucket(name));
        pipeline.arg(bucket.interval()).arg(bucket.fill_time());
        let ((granted, until_full),): ((bool, u64),) = self.0.send(&pipeline).await?;
        Ok(bucket.decision(granted, until_full))
    }
}
