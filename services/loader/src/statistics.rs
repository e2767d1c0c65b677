//! Counters of the loader, shared with the code that displays them.

use std::{
    path::PathBuf,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
};

use serde::Serialize;

use crate::metrics::{BYTES, DROPPED, EVENTS, GAP_BYTES, LAG_BYTES, REPUBLISHED};

/// Counters of one run. Bytes that are read again are not counted again.
#[derive(Debug, Default)]
pub struct Statistics {
    events: AtomicU64,
    dead_letters: AtomicU64,
    event_bytes: AtomicU64,
    dead_bytes: AtomicU64,
    skipped_bytes: AtomicU64,
    dropped: AtomicU64,
    dropped_bytes: AtomicU64,
    republished: AtomicU64,
    gap_bytes: AtomicU64,
    last_event_at: AtomicI64,
    total: AtomicU64,
    lag: AtomicU64,
    files: AtomicU64,
    problems: Mutex<Vec<Problem>>,
    checkpoint_trouble: Mutex<Option<String>>,
}

/// A file that cannot be read, or not to its end.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Problem {
    pub path: PathBuf,
    pub why: String,
    /// The file is an archive of which a part was read.
    pub damaged: bool,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}: {}{}",
            self.path.display(),
            if self.damaged { "damaged or cut off: " } else { "not read: " },
            self.why
        )
    }
}

/// A snapshot of the counters.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Summary {
    pub files: u64,
    /// Bytes read: event, dead-letter, skipped and dropped bytes.
    pub bytes: u64,
    /// Bytes of event lines with their newlines.
    pub event_bytes: u64,
    pub dead_bytes: u64,
    /// Blank and NUL bytes.
    pub skipped_bytes: u64,
    pub events: u64,
    pub dead_letters: u64,
    /// Events dropped by `--drop`.
    pub dropped: u64,
    /// Bytes of the dropped lines.
    pub dropped_bytes: u64,
    /// Messages published again, on evidence of loss or because the broker took them for duplicates.
    pub republished: u64,
    pub gap_bytes: u64,
    /// Bytes on disk that are not committed yet.
    pub lag_bytes: u64,
    /// Size of the files followed, as far as known without decompressing.
    pub total_bytes: u64,
    /// Time of the last event read, microseconds since 1970.
    pub last_event_at: Option<i64>,
    /// Archives that are damaged or cut off. What comes before the damage is counted.
    pub damaged: u64,
    pub unreadable: u64,
}

/// What was found in a range of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Tally {
    pub events: u64,
    pub event_bytes: u64,
    pub dead_letters: u64,
    pub dead_bytes: u64,
    pub skipped_bytes: u64,
    pub dropped: u64,
    pub dropped_bytes: u64,
    pub last_event_at: Option<i64>,
}

impl Statistics {
    pub(crate) fn count(&self, tally: &Tally) {
        for (counter, by) in [
            (&self.events, tally.events),
            (&self.event_bytes, tally.event_bytes),
            (&self.dead_letters, tally.dead_letters),
            (&self.dead_bytes, tally.dead_bytes),
            (&self.skipped_bytes, tally.skipped_bytes),
            (&self.dropped, tally.dropped),
            (&self.dropped_bytes, tally.dropped_bytes),
        ] {
            counter.fetch_add(by, Relaxed);
        }
        if let Some(ts) = tally.last_event_at {
            self.last_event_at.fetch_max(ts, Relaxed);
        }
        metrics::counter!(EVENTS).increment(tally.events);
        metrics::counter!(DROPPED).increment(tally.dropped);
        metrics::counter!(BYTES)
            .increment(tally.event_bytes + tally.dead_bytes + tally.skipped_bytes + tally.dropped_bytes);
    }

    /// Undoes the count of a line that is read again. Metrics are not decremented, because they are counters.
    pub(crate) fn uncount(&self, tally: &Tally) {
        for (counter, by) in [
            (&self.events, tally.events),
            (&self.event_bytes, tally.event_bytes),
            (&self.dead_letters, tally.dead_letters),
            (&self.dead_bytes, tally.dead_bytes),
        ] {
            counter.fetch_sub(by, Relaxed);
        }
    }

    pub(crate) fn republished(&self) {
        self.republished.fetch_add(1, Relaxed);
        metrics::counter!(REPUBLISHED).increment(1);
    }

    pub(crate) fn gap(&self, bytes: u64) {
        self.gap_bytes.fetch_add(bytes, Relaxed);
        metrics::counter!(GAP_BYTES).increment(bytes);
    }

    pub(crate) fn set(&self, files: u64, total: u64, lag: u64) {
        self.files.store(files, Relaxed);
        self.total.store(total, Relaxed);
        self.lag.store(lag, Relaxed);
        metrics::gauge!(LAG_BYTES).set(lag as f64);
    }

    pub(crate) fn set_problems(&self, problems: Vec<Problem>) {
        *self.problems.lock().unwrap_or_else(PoisonError::into_inner) = problems;
    }

    pub(crate) fn set_checkpoint_trouble(&self, trouble: Option<String>) {
        *self.checkpoint_trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    /// The files that cannot be read, or not to their ends.
    pub fn problems(&self) -> Vec<Problem> {
        self.problems.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn is_checkpoint_writable(&self) -> bool {
        self.checkpoint_trouble.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    pub fn summary(&self) -> Summary {
        let problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        let damaged = problems.iter().filter(|problem| problem.damaged).count() as u64;
        let unreadable = problems.len() as u64 - damaged;
        drop(problems);
        let [event_bytes, dead_bytes, skipped_bytes, dropped_bytes] =
            [&self.event_bytes, &self.dead_bytes, &self.skipped_bytes, &self.dropped_bytes]
                .map(|c| c.load(Relaxed));
        Summary {
            files: self.files.load(Relaxed),
            bytes: event_bytes + dead_bytes + skipped_bytes + dropped_bytes,
            event_bytes,
            dead_bytes,
            skipped_bytes,
            events: self.events.load(Relaxed),
            dead_letters: self.dead_letters.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            dropped_bytes,
            republished: self.republished.load(Relaxed),
            gap_bytes: self.gap_bytes.load(Relaxed),
            lag_bytes: self.lag.load(Relaxed),
            total_bytes: self.total.load(Relaxed),
            last_event_at: Some(self.last_event_at.load(Relaxed)).filter(|&at| at != 0),
            damaged,
            unreadable,
        }
    }
}

impl std::ops::Add for Summary {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            files: self.files + other.files,
            bytes: self.bytes + other.bytes,
            event_bytes: self.event_bytes + other.event_bytes,
            dead_bytes: self.dead_bytes + other.dead_bytes,
            skipped_bytes: self.skipped_bytes + other.skipped_bytes,
            events: self.events + other.events,
            dead_letters: self.dead_letters + other.dead_letters,
            dropped: self.dropped + other.dropped,
            dropped_bytes: self.dropped_bytes + other.dropped_bytes,
            republished: self.republished + other.republished,
            gap_bytes: self.gap_bytes + other.gap_bytes,
            lag_bytes: self.lag_bytes + other.lag_bytes,
            total_bytes: self.total_bytes + other.total_bytes,
            last_event_at: self.last_event_at.max(other.last_event_at),
            damaged: self.damaged + other.damaged,
            unreadable: self.unreadable + other.unreadable,
        }
    }
}
