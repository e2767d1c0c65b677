//! The names of keys and channels. They are public: clients read them (docs/JOBS.md).

use uuid::Uuid;

/// Exists while the mirror is whole. When it is gone, everything is written again.
pub(crate) const SENTINEL: &str = "cowrie:mirror";

/// All channels of statuses, and all channels of progress, as patterns.
pub(crate) const ALL_STATUSES: &str = "cowrie:status:*";
pub(crate) const ALL_PROGRESS: &str = "cowrie:progress:*";

/// Hash with the status of a job; and the channel on which each of its statuses is published.
pub(crate) fn status(job: Uuid) -> String {
    format!("cowrie:status:{job}")
}

/// The channel on which the progress of a job is published.
pub(crate) fn progress(job: Uuid) -> String {
    format!("cowrie:progress:{job}")
}

/// Celery's result, and the channel on which Celery's clients wait for it.
pub(crate) fn celery(job: Uuid) -> String {
    format!("celery-task-meta-{job}")
}

/// Capped stream of every status, for clients that reconnect.
pub(crate) fn events(job: Uuid) -> String {
    format!("cowrie:events:{job}")
}

/// Sorted set of the jobs of a queue that have not ended, by the time of their submission (seconds since
/// 1970).
pub(crate) fn queue(name: &str) -> String {
    format!("cowrie:jobs:{name}")
}

/// When a token bucket is full again (microseconds since 1970).
pub(crate) fn bucket(name: &str) -> String {
    format!("cowrie:bucket:{name}")
}
