//! The changes of all jobs that clients follow: one subscription and one query per second, however many
//! clients there are. Each job has a channel from which its clients read.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use boot::{CancellationToken, Duty};
use bus::Messages;
use futures::StreamExt;
use jobs::Status;
use tokio::sync::{Notify, broadcast};
use uuid::Uuid;
use web::Problem;

use crate::{metrics, problem::failed, service::Service};

/// How often Postgres is read, in case a message was lost.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Wait before Postgres is read for versions that are missing, so that one query finds those of several jobs.
const GATHER: Duration = Duration::from_millis(20);
/// Time limit for a subscription. Without one, the changes come from Postgres alone.
const SUBSCRIBE_LIMIT: Duration = Duration::from_millis(500);
/// Changes of one query.
const ROWS: i64 = 10_000;
/// Changes of a job that a slow client may be behind; after that it reads Postgres by itself.
const CAPACITY: usize = 64;

/// A newer status, or why following ends.
pub(super) type Change = Result<Arc<Status>, Problem>;

/// The jobs that clients follow.
#[derive(Default)]
pub(crate) struct Feed {
    jobs: Mutex<HashMap<Uuid, Followed>>,
    /// Notified when a client begins to follow a job, or a status is missing.
    wake: Notify,
    /// There is a subscription.
    live: AtomicBool,
}

struct Followed {
    changes: broadcast::Sender<Change>,
    /// The newest version that was sent: every newer one will be. `None` until the first client has read the
    /// job.
    version: Option<i64>,
    /// There is a newer status than the next one, so Postgres must be read.
    behind: bool,
}

impl Feed {
    /// Begins to follow a job. The caller then reads the job and calls [`Self::start`].
    pub(super) fn subscribe(&self, job_id: Uuid) -> broadcast::Receiver<Change> {
        let changes = self
            .lock()
            .entry(job_id)
            .or_insert_with(|| Followed {
                changes: broadcast::Sender::new(CAPACITY),
                version: None,
                // Messages are missed until there is a subscription.
                behind: !self.live.load(Ordering::Relaxed),
            })
            .changes
            .subscribe();
        self.wake.notify_one();
        changes
    }

    /// All versions after this one are sent, unless the job was followed already: then those after its last
    /// one.
    pub(super) fn start(&self, job_id: Uuid, version: i64) {
        if let Some(followed) = self.lock().get_mut(&job_id) {
            followed.version.get_or_insert(version);
            if followed.behind {
                self.wake.notify_one();
            }
        }
    }

    /// Sends a status that a message announced if it is the next one. Returns whether Postgres must be read.
    fn announced(&self, status: Status) -> bool {
        let mut jobs = self.lock();
        let Some(followed) = jobs.get_mut(&status.job_id) else { return false };
        match followed.version {
            Some(version) if status.version <= version => false,
            Some(version) if status.version == version + 1 => {
                followed.send(status);
                false
            }
            // An earlier version was missed: it was published before the subscription, or the broker was
            // away.
            version => {
                followed.behind = true;
                version.is_some()
            }
        }
    }

    /// Sends a status that was read from Postgres. Versions before it that were not read are progress, which
    /// is not kept.
    fn read(&self, status: Status) {
        if let Some(followed) = self.lock().get_mut(&status.job_id)
            && followed.version.is_some_and(|version| status.version > version)
        {
            followed.send(status);
        }
    }

    /// Ends following for all clients.
    fn fail(&self, problem: &Problem) {
        for followed in self.lock().values() {
            let _ = followed.changes.send(Err(problem.clone()));
        }
    }

    /// The jobs to read, each with its newest version: all, or those of which a status is missing.
    fn to_read(&self, all: bool) -> (Vec<Uuid>, Vec<i64>) {
        let mut jobs = self.lock();
        jobs.iter_mut()
            .filter(|(_, followed)| all || followed.behind)
            .filter_map(|(&id, followed)| {
                let version = followed.version?;
                followed.behind = false;
                Some((id, version))
            })
            .unzip()
    }

    /// Forgets the jobs whose clients have gone. Returns how many are left.
    fn retain_followed(&self) -> usize {
        let mut jobs = self.lock();
        jobs.retain(|_, followed| followed.changes.receiver_count() > 0);
        jobs.len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Followed>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Followed {
    fn send(&mut self, status: Status) {
        self.version = Some(status.version);
        // No client is left: the job is forgotten at the next look.
        let _ = self.changes.send(Ok(Arc::new(status)));
    }
}

/// Sends changes to the clients until `stop`. Without clients it waits.
pub(crate) async fn run(service: Service, stop: CancellationToken) -> anyhow::Result<()> {
    let duty = Duty::new("subscribe to the status of jobs");
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = service.feed.wake.notified() => (),
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = feed(&service, &duty) => (),
        }
    }
}

/// Sends changes to the clients and returns when the last one has left.
async fn feed(service: &Service, duty: &Duty) {
    let feed = &service.feed;
    let mut live = subscribe(service, duty).await;
    let mut poll = tokio::time::interval(POLL_INTERVAL);
    poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            message = next(&mut live) => match message {
                Some(message) => if announced(feed, &message) {
                    tokio::time::sleep(GATHER).await;
                    read(service, false).await;
                },
                None => {
                    live = None;
                    feed.live.store(false, Ordering::Relaxed);
                }
            },
            () = feed.wake.notified() => read(service, false).await,
            _ = poll.tick() => {
                let followed = feed.retain_followed();
                ::metrics::gauge!(metrics::FOLLOWED_JOBS).set(followed as f64);
                if followed == 0 {
                    feed.live.store(false, Ordering::Relaxed);
                    return;
                }
                if live.is_none() {
                    live = subscribe(service, duty).await;
                }
                read(service, true).await;
            }
        }
    }
}

/// Without a subscription, clients get the changes when Postgres is read the next time.
async fn subscribe(service: &Service, duty: &Duty) -> Option<Messages> {
    let subscribed = tokio::time::timeout(SUBSCRIBE_LIMIT, service.bus.follow_jobs())
        .await
        .unwrap_or_else(|_| Err(anyhow::anyhow!("no answer within {SUBSCRIBE_LIMIT:?}")));
    match subscribed {
        Ok(messages) => {
            duty.report(Ok::<_, anyhow::Error>(()));
            service.feed.live.store(true, Ordering::Relaxed);
            Some(messages)
        }
        Err(error) => {
            duty.report(Err(error));
            None
        }
    }
}

/// The next message; waits for ever while there is no subscription.
async fn next(live: &mut Option<Messages>) -> Option<bytes::Bytes> {
    match live {
        Some(messages) => messages.next().await,
        None => std::future::pending().await,
    }
}

fn announced(feed: &Feed, message: &[u8]) -> bool {
    match serde_json::from_slice(message) {
        Ok(status) => feed.announced(status),
        Err(error) => {
            tracing::debug!(%error, "received a message that is not a status");
            false
        }
    }
}

/// Sends the changes in Postgres; of all followed jobs, or of those of which a status is missing.
async fn read(service: &Service, all: bool) {
    loop {
        let (jobs, versions) = service.feed.to_read(all);
        if jobs.is_empty() {
            return;
        }
        ::metrics::counter!(metrics::WATCH_READS).increment(1);
        let changes = async {
            let mut connection = service.connection().await?;
            store::jobs::changes(&mut connection, &jobs, &versions, ROWS).await.map_err(failed)
        };
        match changes.await {
            Ok(changes) => {
                let complete = (changes.len() as i64) < ROWS;
                changes.into_iter().for_each(|status| service.feed.read(status));
                if complete {
                    return;
                }
            }
            Err(problem) => return service.feed.fail(&problem),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status(job_id: Uuid, version: i64) -> Status {
        let status = json!({
            "job_id": job_id, "state": "in_progress", "progress_percent": 1.0, "attempt": 1, "uncounted_attempts": 0,
            "attempts_left": 0, "updated_at": "2026-01-01T00:00:00Z", "version": version,
        });
        serde_json::from_value(status).unwrap()
    }

    fn live() -> Feed {
        Feed { live: AtomicBool::new(true), ..Feed::default() }
    }

    fn versions(changes: &mut broadcast::Receiver<Change>) -> Vec<i64> {
        std::iter::from_fn(|| changes.try_recv().ok()).map(|change| change.unwrap().version).collect()
    }

    #[test]
    fn each_client_gets_every_version_once_and_in_order() {
        let (feed, job) = (live(), Uuid::from_u128(1));
        let mut first = feed.subscribe(job);
        // Before the first read nothing is sent: it may be old or too new.
        assert!(!feed.announced(status(job, 3)));
        feed.start(job, 2);
        assert_eq!(feed.to_read(false), (vec![job], vec![2]));
        feed.read(status(job, 3));
        assert!(!feed.announced(status(job, 3)), "it was sent");
        assert!(!feed.announced(status(job, 4)));
        // A second client has read more than was sent to the first one.
        let mut second = feed.subscribe(job);
        feed.start(job, 6);
        assert!(feed.announced(status(job, 6)), "5 is missing");
        assert_eq!(feed.to_read(false), (vec![job], vec![4]));
        [5, 6].into_iter().for_each(|version| feed.read(status(job, version)));
        assert_eq!(versions(&mut first), [3, 4, 5, 6]);
        assert_eq!(versions(&mut second), [5, 6]);
        assert_eq!(feed.to_read(false), (vec![], vec![]));
    }

    #[test]
    fn a_job_that_was_read_before_the_subscription_is_read_again() {
        let (feed, job) = (Feed::default(), Uuid::from_u128(1));
        let _changes = feed.subscribe(job);
        feed.start(job, 1);
        assert_eq!(feed.to_read(false), (vec![job], vec![1]));
    }

    #[test]
    fn jobs_that_nobody_follows_are_forgotten() {
        let (feed, job) = (Feed::default(), Uuid::from_u128(1));
        let changes = feed.subscribe(job);
        assert!(!feed.announced(status(Uuid::from_u128(2), 9)));
        assert_eq!(feed.retain_followed(), 1);
        drop(changes);
        assert_eq!(feed.retain_followed(), 0);
        assert_eq!(feed.to_read(true), (vec![], vec![]));
    }

    #[test]
    fn a_client_that_begins_keeps_a_job_that_the_last_one_left() {
        let (feed, job) = (Feed::default(), Uuid::from_u128(1));
        drop(feed.subscribe(job));
        feed.start(job, 1);
        let mut next = feed.subscribe(job);
        feed.start(job, 2);
        assert_eq!(feed.retain_followed(), 1);
        feed.announced(status(job, 2));
        feed.announced(status(job, 3));
        assert_eq!(versions(&mut next), [2, 3]);
    }
}
