//! Redis: the copy of job status that dashboards and Celery clients read, and token buckets that several
//! processes share. The only crate that speaks to Redis.
//!
//! **Invariant**: Redis may be wiped at any time, and nothing is lost. Every status here is a copy of one in
//! Postgres and is written again; a bucket that was lost is a full bucket. So a missing key is an ordinary
//! answer, and no caller may need Redis: each has a way to go on without it.

mod bucket;
mod celery;
mod changes;
mod connection;
mod error;
mod hash;
mod keys;
mod limiter;
mod local;
mod read;
mod shared;
mod write;

pub use bucket::{Bucket, Decision};
pub use changes::{Changes, Subscription};
pub use error::Error;
pub use limiter::{Limiter, Taken};
pub use local::LocalBuckets;
pub use read::Reader;
pub use shared::SharedBuckets;
pub use write::{Change, Entry, Writer, Written};
