//! What an analysis works with: a reader, a thread to compute on, progress, a stop, and where results go.

use analysis::{Stopped, Watch};
use boot::{CancellationToken, Tasks};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{Store, findings::Upserted};
use tokio::sync::watch;

use crate::{
    backend::{Backend, Reader},
    error::AttemptError,
    run::Run,
    step::Step,
};

/// Analyses report progress many times a second. It is passed on in steps of this part of the whole.
const PROGRESS_STEP: f64 = 0.001;
/// An attempt that continues has at least the rest of the bar above this part.
const MOST_RESUMED: f64 = 0.99;

/// How far an analysis is.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Progress {
    /// In words.
    pub step: String,
    /// The part of the whole that is done, in [0, 1]. It never falls.
    pub done: f64,
    /// The number of sessions to analyse; 0 until it is known.
    pub sessions: u64,
}

/// What happens to the results of an analysis that is not a job.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keep {
    /// Nothing is written.
    Nothing,
    /// They are stored in the database, without a job.
    Plain,
}

/// Where results are stored.
enum Sink {
    Nothing,
    Database(Backend),
    /// Through the attempt of a job. The end of its window is part of the checkpoint, so that a later attempt
    /// analyses the same window.
    Job {
        run: Box<Run>,
        until: DateTime<Utc>,
    },
}

/// What an analysis works with.
pub struct AnalysisContext {
    reader: Option<Reader>,
    sink: Sink,
    tasks: Tasks,
    stop: CancellationToken,
    progress: watch::Sender<Progress>,
    /// The part that earlier attempts had done. This one reports progress above it.
    resumed_at: f64,
}

impl AnalysisContext {
    /// For an analysis that is not a job. Without a store only [`super::of_data`] works.
    pub fn new(
        store: Option<Store>,
        tasks: Tasks,
        stop: CancellationToken,
        keep: Keep,
    ) -> (Self, watch::Receiver<Progress>) {
        let reader = store.clone().map(Reader::new);
        let sink = match (keep, store) {
            (Keep::Plain, Some(store)) => Sink::Database(Backend::without_job(store)),
            (Keep::Plain | Keep::Nothing, _) => Sink::Nothing,
        };
        let (progress, receiver) = watch::channel(Progress::default());
        (Self { reader, sink, tasks, stop, progress, resumed_at: 0.0 }, receiver)
    }

    /// For the attempt of a job whose window ends at `until`.
    pub(crate) fn for_job(
        run: Run,
        until: DateTime<Utc>,
        resumed_at: f64,
    ) -> (Self, watch::Receiver<Progress>) {
        let (progress, receiver) = watch::channel(Progress::default());
        let context = Self {
            reader: Some(run.reader()),
            tasks: run.tasks.clone(),
            stop: run.stop_token(),
            sink: Sink::Job { run: Box::new(run), until },
            progress,
            resumed_at: resumed_at.clamp(0.0, MOST_RESUMED),
        };
        (context, receiver)
    }

    pub(crate) fn reader(&self) -> Result<&Reader, AttemptError> {
        self.reader.as_ref().ok_or_else(|| AttemptError::GiveUp(anyhow::anyhow!("there is no database")))
    }

    /// Sets the number of sessions to analyse.
    pub(crate) fn set_sessions(&self, sessions: u64) {
        self.progress.send_modify(|progress| progress.sessions = sessions);
    }

    /// Reports progress. An error if the analysis must stop.
    pub(crate) fn report(&self, step: &str, done: f64) -> Result<(), AttemptError> {
        report(&self.progress, step, self.resumed_at + (1.0 - self.resumed_at) * done);
        if self.stop.is_cancelled() { Err(AttemptError::Stopped) } else { Ok(()) }
    }

    /// Computes on a thread of its own. The work fills the progress bar from `from` to `to`.
    pub(crate) async fn compute<T: Send + 'static>(
        &self,
        (from, to): (f64, f64),
        work: impl FnOnce(&mut Watch<'_>) -> Result<T, Stopped> + Send + 'static,
    ) -> Result<T, AttemptError> {
        let (progress, stop, resumed_at) = (self.progress.clone(), self.stop.clone(), self.resumed_at);
        let task = self.tasks.compute(move || {
            let mut on_progress = |step: &str, part: f64| {
                report(&progress, step, resumed_at + (1.0 - resumed_at) * (from + (to - from) * part));
                !stop.is_cancelled()
            };
            work(&mut Watch::new(&mut on_progress))
        });
        match task.result().await {
            Ok(Ok(made)) => Ok(made),
            Ok(Err(Stopped)) => Err(AttemptError::Stopped),
            Err(_) => Err(AttemptError::Retry(anyhow::anyhow!("the analysis panicked; the log says where"))),
        }
    }

    /// Whether results are stored.
    pub(crate) fn stores(&self) -> bool {
        !matches!(self.sink, Sink::Nothing)
    }

    /// For a step: where a later attempt of the job continues.
    pub(crate) fn checkpoint(&self) -> Option<Value> {
        let Sink::Job { until, .. } = &self.sink else { return None };
        let checkpoint = Checkpoint { done: self.progress.borrow().done, until: Some(*until) };
        serde_json::to_value(checkpoint).ok()
    }

    /// Stores a step, for a job only while its attempt runs. `None` if nothing is stored.
    pub(crate) async fn apply(&self, step: &Step) -> Result<Option<Upserted>, AttemptError> {
        let applied = match &self.sink {
            Sink::Nothing => return Ok(None),
            Sink::Database(backend) => backend.apply(step).await?,
            Sink::Job { run, .. } => run.apply(step).await?,
        };
        Ok(Some(applied.findings))
    }
}

/// What an earlier attempt of a job had done.
#[derive(Serialize, Deserialize, Default)]
pub(crate) struct Checkpoint {
    /// The part of the whole, in [0, 1].
    pub done: f64,
    /// The end of the window.
    pub until: Option<DateTime<Utc>>,
}

impl Checkpoint {
    /// Reads the checkpoint of a job. One that another version of the program wrote is ignored.
    pub fn read(checkpoint: Option<&Value>) -> Self {
        checkpoint.and_then(|checkpoint| serde_json::from_value(checkpoint.clone()).ok()).unwrap_or_default()
    }
}

fn report(progress: &watch::Sender<Progress>, step: &str, done: f64) {
    progress.send_if_modified(|progress| {
        // An analysis without phases names no step.
        let step = if step.is_empty() { progress.step.clone() } else { step.to_owned() };
        let changed = progress.step != step || done >= progress.done + PROGRESS_STEP || done >= 1.0;
        if changed {
            progress.step = step;
            progress.done = progress.done.max(done.min(1.0));
        }
        changed
    });
}
