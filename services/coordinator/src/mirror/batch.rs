//! The statuses that are written to Redis at once.

use std::collections::HashMap;

use jobs::Status;
use mirror::{Change, Entry};
use serde_json::Value;
use store::jobs::JobEvent;
use uuid::Uuid;

/// Statuses sent to Redis at once.
const PIPELINE: usize = 100;
/// Bytes of results sent to Redis at once.
const RESULTS_AT_ONCE: i64 = 8 << 20;
/// A result that takes more bytes in the database may be compressed there: it counts as the largest.
const PLAIN_RESULT: i32 = 2_000;
const LARGEST_RESULT: i64 = 1 << 20;

/// How many of the next statuses fit into one pipeline: limited by their number, and by the size of their
/// results.
pub(super) fn length(all: &[JobEvent]) -> usize {
    let bytes = |one: &JobEvent| {
        if one.result_bytes > PLAIN_RESULT { LARGEST_RESULT } else { one.result_bytes.into() }
    };
    let mut sum = 0;
    let fitting = all.iter().take(PIPELINE).take_while(|one| {
        sum += bytes(one);
        sum <= RESULTS_AT_ONCE
    });
    fitting.count().max(1)
}

/// A progress message as an event without a row.
pub(super) fn progress(status: Status) -> JobEvent {
    JobEvent { id: 0, queue: String::new(), created_at: status.updated_at, status, result_bytes: 0 }
}

pub(super) fn entry<'a>(event: &'a JobEvent, results: &'a HashMap<Uuid, Value>, progress: bool) -> Entry<'a> {
    let change = if progress {
        Change::Progress
    } else {
        Change::State { queue: &event.queue, created_at: event.created_at }
    };
    Entry { status: &event.status, result: results.get(&event.status.job_id), change }
}

#[cfg(test)]
mod tests {
    use jobs::State;
    use serde_json::json;

    use super::*;

    #[test]
    fn large_results_make_short_batches() {
        let event = |result_bytes| {
            let status = json!({
                "job_id": Uuid::nil(), "state": State::Completed, "progress_percent": 100.0, "attempt": 1,
                "uncounted_attempts": 0, "attempts_left": 0, "updated_at": "2026-01-01T00:00:00Z", "version": 3,
            });
            JobEvent { result_bytes, ..progress(serde_json::from_value(status).unwrap()) }
        };
        let events = |count, bytes| -> Vec<_> { (0..count).map(|_| event(bytes)).collect() };
        assert_eq!(length(&events(300, 10)), PIPELINE);
        assert_eq!(length(&events(300, PLAIN_RESULT + 1)), 8);
        assert_eq!(length(&events(1, PLAIN_RESULT + 1)), 1);
    }
}
