//! Where an analysis works: it computes on a thread of its own, tells how far it is, looks whether it shall
//! stop, and keeps what it made.

use std::time::Instant;

use analysis::{Stopped, Watch};
use boot::{CancellationToken, Tasks};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;
use store::{Failure, Store, Transaction};
use tokio::sync::watch;
use uuid::Uuid;

use crate::attempt::{Ended, Run};

/// How far an analysis is.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Told {
    /// In words.
    pub step: String,
    /// The part of all that is done, in [0, 1], never less than before.
    pub done: f64,
    /// Sessions to look at; 0 until it is known.
    pub sessions: u64,
}

/// Where what an analysis made goes.
#[derive(Clone)]
pub enum Keep {
    /// Nowhere: nothing is written.
    Nothing,
    /// Into the database, by nobody's job.
    Plain,
    #[doc(hidden)]
    Job(Box<JobRun>),
}

/// The attempt of a job, which must still run when something is kept, and the end of its window: a later
/// attempt has the same.
#[derive(Clone)]
pub struct JobRun {
    pub(crate) run: Run,
    pub(crate) until: DateTime<Utc>,
}

/// What an analysis is given to work with.
pub struct Desk {
    pub(crate) store: Option<Store>,
    tasks: Tasks,
    stop: CancellationToken,
    told: watch::Sender<Told>,
    keep: Keep,
    /// What an earlier attempt had done: this one has the rest of the bar.
    before: f64,
}

/// Progress is passed on in steps of this part of all: analyses tell of it many times a second.
const STEP: f64 = 0.001;

impl Desk {
    /// A desk and what is told at it. Without a store only [`super::of_data`] works.
    pub fn new(
        store: Option<Store>,
        tasks: Tasks,
        stop: CancellationToken,
        keep: Keep,
    ) -> (Self, watch::Receiver<Told>) {
        let (told, hear) = watch::channel(Told::default());
        (Self { store, tasks, stop, told, keep, before: 0.0 }, hear)
    }

    /// Goes on where an earlier attempt got to.
    pub(crate) fn resumed(mut self, before: f64) -> Self {
        self.before = before.clamp(0.0, 0.99);
        self
    }

    pub(crate) fn store(&self) -> Result<&Store, Ended> {
        self.store.as_ref().ok_or_else(|| Ended::GiveUp(anyhow::anyhow!("no database was given")))
    }

    /// How many sessions there are to look at.
    pub(crate) fn sessions(&self, sessions: u64) {
        self.told.send_modify(|told| told.sessions = sessions);
    }

    /// Tells how far it is, and asks whether to go on.
    pub(crate) fn tell(&self, step: &str, done: f64) -> Result<(), Ended> {
        tell(&self.told, step, self.before + (1.0 - self.before) * done);
        if self.stop.is_cancelled() { Err(Ended::Stopped) } else { Ok(()) }
    }

    /// Computes something that takes the bar from one part of all to another.
    pub(crate) async fn compute<T: Send + 'static>(
        &self,
        (from, to): (f64, f64),
        work: impl FnOnce(&mut Watch<'_>) -> Result<T, Stopped> + Send + 'static,
    ) -> Result<T, Ended> {
        let (told, stop, before) = (self.told.clone(), self.stop.clone(), self.before);
        let task = self.tasks.compute(move || {
            let mut hear = |step: &str, part: f64| {
                tell(&told, step, before + (1.0 - before) * (from + (to - from) * part));
                !stop.is_cancelled()
            };
            work(&mut Watch::new(&mut hear))
        });
        match task.result().await {
            Ok(Ok(made)) => Ok(made),
            Ok(Err(Stopped)) => Err(Ended::Stopped),
            Err(_) => Err(Ended::Retry(anyhow::anyhow!("the analysis panicked; the log says where"))),
        }
    }

    /// Whether anything is kept.
    pub(crate) fn keeps(&self) -> bool {
        !matches!(self.keep, Keep::Nothing)
    }

    /// Of which job.
    pub(crate) fn job_id(&self) -> Option<Uuid> {
        match &self.keep {
            Keep::Job(job) => Some(job.run.claimed.job_id),
            Keep::Nothing | Keep::Plain => None,
        }
    }

    /// Commits what was made; for a job only while its attempt runs, with how far it is.
    pub(crate) async fn commit(&self, transaction: Transaction) -> Result<(), Ended> {
        match &self.keep {
            Keep::Job(job) => {
                let done = self.told.borrow().done;
                job.run
                    .commit(transaction, Some(&serde_json::json!({ "done": done, "until": job.until })))
                    .await
            }
            Keep::Plain => Ok(transaction.commit().await.map_err(Failure::from)?),
            Keep::Nothing => Ok(()),
        }
    }
}

/// What an earlier attempt had done, and where its window ended.
#[derive(Deserialize, Default)]
pub(crate) struct Before {
    pub done: f64,
    pub until: Option<DateTime<Utc>>,
}

impl Before {
    /// From a checkpoint; one of another program is none.
    pub fn of(checkpoint: Option<&Value>) -> Self {
        checkpoint.and_then(|checkpoint| serde_json::from_value(checkpoint.clone()).ok()).unwrap_or_default()
    }
}

fn tell(told: &watch::Sender<Told>, step: &str, done: f64) {
    told.send_if_modified(|told| {
        // An analysis that has no phases names no step.
        let step = if step.is_empty() { told.step.clone() } else { step.to_owned() };
        let worth = told.step != step || done >= told.done + STEP || done >= 1.0;
        if worth {
            told.step = step;
            told.done = told.done.max(done.min(1.0));
        }
        worth
    });
}

/// A clock for durations.
pub(crate) struct Clock(Instant);

impl Clock {
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Seconds since it was started, to a thousandth.
    pub fn seconds(&self) -> f64 {
        (self.0.elapsed().as_secs_f64() * 1e3).round() / 1e3
    }
}
