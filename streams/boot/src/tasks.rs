//! Supervised tasks.

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::oneshot, task::JoinHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Spawns tasks and notices how they end. Cheap to clone.
#[derive(Clone, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
    failure: Arc<Mutex<Option<anyhow::Error>>>,
    /// Also cancelled when a task of this group fails.
    parent: Option<CancellationToken>,
}

/// A task whose result can be awaited.
pub struct Task<T>(oneshot::Receiver<T>, JoinHandle<()>);

impl<T> Task<T> {
    /// Waits for the result; fails if the task was aborted or panicked before it had one.
    pub async fn result(self) -> anyhow::Result<T> {
        self.0.await.map_err(|_| anyhow::anyhow!("a task was stopped before it was done"))
    }

    /// Aborts the task at its next await point.
    pub fn abort(&self) {
        self.1.abort();
    }
}

impl Tasks {
    /// Cancelled when the process must stop.
    pub fn stop(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// A group of tasks that can be stopped on its own. Its stop is also cancelled with this one.
    pub fn group(&self) -> Self {
        Self {
            tracker: self.tracker.clone(),
            stop: self.stop.child_token(),
            failure: self.failure.clone(),
            parent: Some(self.stop.clone()),
        }
    }

    /// A group with a tracker and a stop of its own. The process's stop does not cancel it: its creator must
    /// stop it. Its failures stop the process.
    pub fn detached(&self) -> Self {
        Self {
            tracker: TaskTracker::new(),
            stop: CancellationToken::new(),
            failure: self.failure.clone(),
            parent: Some(self.stop.clone()),
        }
    }

    /// Waits until every task of a detached group has ended.
    pub async fn ended(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }

    /// Spawns a task that runs until `stop()`. If it fails or ends earlier, everything is stopped with that
    /// failure.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = anyhow::Result<()>> + Send + 'static) {
        let this = self.clone();
        let guard = Guard { name, tasks: self.clone(), done: false };
        self.tracker.spawn(async move {
            let mut guard = guard;
            let outcome = task.await;
            guard.done = true;
            match outcome {
                Ok(()) if this.stop.is_cancelled() => (),
                Ok(()) => this.fail(anyhow::anyhow!("{name} ended early")),
                Err(error) => this.fail(error.context(name)),
            }
        });
    }

    /// Spawns a task that ends by itself and returns a result.
    pub fn start<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> Task<T> {
        let (send, receive) = oneshot::channel();
        let handle = self.tracker.spawn(async move {
            // It is fine if nobody waits for the result.
            let _ = send.send(task.await);
        });
        Task(receive, handle)
    }

    /// Runs a computation on a thread of its own, where it blocks no other task. It cannot be aborted: it
    /// must check itself whether to stop.
    pub fn compute<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Task<T> {
        let (send, receive) = oneshot::channel();
        let handle = self.tracker.spawn_blocking(move || {
            // It is fine if nobody waits for the result.
            let _ = send.send(work());
        });
        Task(receive, handle)
    }

    /// Stops everything and waits at most `limit`; returns the first failure of a task, if any.
    pub(crate) async fn end(self, limit: Duration) -> anyhow::Result<()> {
        self.stop.cancel();
        self.tracker.close();
        if tokio::time::timeout(limit, self.tracker.wait()).await.is_err() {
            tracing::warn!(tasks = self.tracker.len(), "some tasks did not stop in time");
        }
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        failure.map_or(Ok(()), Err)
    }

    fn fail(&self, error: anyhow::Error) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.stop.cancel();
        if let Some(parent) = &self.parent {
            parent.cancel();
        }
    }
}

/// Notices a panic: the task is dropped before it is done.
struct Guard {
    name: &'static str,
    tasks: Tasks,
    done: bool,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.done && std::thread::panicking() {
            self.tasks.fail(anyhow::anyhow!("{} panicked", self.name));
        }
    }
}
