//! The audit log: lines are collected and written every moment, so that no request waits for them.
//!
//! **Invariant**: denied requests cannot flood the table. Beyond a rate per address and a rate of all, they are only
//! counted.

use std::time::{Duration, Instant};

use boot::{CancellationToken, Duty, Tasks};
use mirror::{Bucket, LocalBuckets};
use store::{
    Store,
    keys::audit::{DENIED, DONE, Entry},
};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use web::{Code, Principal, Problem, Wanted};

use crate::metrics;

/// Lines that wait to be written.
const QUEUE: usize = 10_000;
/// Lines of one statement.
const BATCH: usize = 500;
/// How long a request waits for a place in the queue.
const WAIT: Duration = Duration::from_secs(1);
/// Pause after a failure.
const PAUSE: Duration = Duration::from_secs(1);
/// The last lines are written within this time after the stop.
const LAST: Duration = Duration::from_secs(3);
/// Denied requests of one address that are written: at once, and per second.
const PER_ADDRESS: (u32, f64) = (20, 0.1);
/// The same of all addresses together.
const OF_ALL: (u32, f64) = (1_000, 5.0);

pub(crate) struct AuditLog {
    lines: Sender<Entry>,
    denied: LocalBuckets,
    per_address: Option<Bucket>,
    of_all: Option<Bucket>,
}

/// A key, as the log names it.
pub(crate) fn who(name: &str, key_id: &str) -> String {
    format!("{name} ({key_id})")
}

impl AuditLog {
    pub fn start(store: Store, tasks: &Tasks) -> Self {
        let (lines, waiting) = channel(QUEUE);
        tasks.spawn("audit log", write(store, waiting, tasks.stop()));
        let bucket = |(burst, rate)| Bucket::new(burst, rate);
        Self {
            lines,
            denied: LocalBuckets::default(),
            per_address: bucket(PER_ADDRESS),
            of_all: bucket(OF_ALL),
        }
    }

    pub async fn done(&self, principal: &Principal, action: &'static str, target: String, detail: String) {
        let entry = Entry {
            at: boot::now(),
            who: who(&principal.name, &principal.id),
            action: action.into(),
            target,
            from: principal.from.map(|from| from.to_string()),
            outcome: DONE.into(),
            detail,
        };
        if self.lines.send_timeout(entry, WAIT).await.is_err() {
            ::metrics::counter!(metrics::NOT_AUDITED, "reason" => "queue_full").increment(1);
        }
    }

    pub fn denied(&self, who: String, wanted: &Wanted<'_>, problem: &Problem) {
        let reason = match problem.code {
            Code::Unauthenticated => "unauthenticated",
            Code::Forbidden => "forbidden",
            Code::TooManyRequests => "too_many_requests",
            // A server is away: nothing was decided about the request.
            _ => return,
        };
        ::metrics::counter!(metrics::DENIED, "code" => reason).increment(1);
        let from = wanted.from.map(|from| from.to_string());
        if !self.may_write(from.as_deref().unwrap_or_default()) {
            ::metrics::counter!(metrics::NOT_AUDITED, "reason" => "rate").increment(1);
            return;
        }
        let entry = Entry {
            at: boot::now(),
            who,
            action: wanted.operation.id.clone(),
            target: String::new(),
            from,
            outcome: DENIED.into(),
            detail: problem.detail.clone(),
        };
        if self.lines.try_send(entry).is_err() {
            ::metrics::counter!(metrics::NOT_AUDITED, "reason" => "queue_full").increment(1);
        }
    }

    fn may_write(&self, address: &str) -> bool {
        let take = |name: &str, bucket: Option<Bucket>| {
            bucket.is_some_and(|bucket| self.denied.take(name, &bucket, Instant::now()).is_granted())
        };
        take(address, self.per_address) && take("all addresses", self.of_all)
    }
}

/// Writes lines until stop, and then those that wait.
async fn write(store: Store, mut waiting: Receiver<Entry>, stop: CancellationToken) -> anyhow::Result<()> {
    let duty = Duty::new("write the audit log");
    let mut batch = Vec::new();
    loop {
        if batch.is_empty() {
            tokio::select! {
                () = stop.cancelled() => break,
                received = waiting.recv_many(&mut batch, BATCH) => if received == 0 { break },
            }
        }
        let outcome = insert(&store, &batch).await;
        match &outcome {
            Ok(()) => batch.clear(),
            // What Postgres refuses now, it refuses always.
            Err(store::Failure::Reject(_)) => {
                ::metrics::counter!(metrics::NOT_AUDITED, "reason" => "refused")
                    .increment(batch.len() as u64);
                batch.clear();
            }
            Err(store::Failure::Retry(_)) => tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(PAUSE) => (),
            },
        }
        duty.report(outcome);
    }
    while let Ok(entry) = waiting.try_recv() {
        batch.push(entry);
    }
    if !batch.is_empty() {
        let last = tokio::time::timeout(LAST, insert(&store, &batch)).await;
        if !matches!(last, Ok(Ok(()))) {
            tracing::warn!(lines = batch.len(), "could not write the last lines of the audit log");
        }
    }
    Ok(())
}

async fn insert(store: &Store, batch: &[Entry]) -> Result<(), store::Failure> {
    let mut connection = store.connection().await?;
    store::keys::audit::insert(&mut connection, batch).await
}
