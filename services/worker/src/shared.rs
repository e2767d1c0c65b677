//! What the tasks of a worker share.

use std::{collections::HashMap, sync::Arc, time::Duration};

use boot::Tasks;
use bus::{Bus, Permit};
use jobs::WorkerSpec;
use store::{Store, jobs::Claimed};
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::{
    backend::Backend,
    memory::Memory,
    publish::Audience,
    run::Run,
    stop::{StopHandle, StopReason},
};

/// What the tasks of a worker share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Shared {
    pub bus: Bus,
    /// For heartbeats, leases, claims and ends.
    pub store: Store,
    /// For the code of jobs, which may hold a connection for as long as a query takes.
    pub jobs: Store,
    pub memory: Memory,
    pub worker_id: Uuid,
    pub spec: Arc<WorkerSpec>,
    /// The attempts that run here, by job.
    pub running: Arc<Mutex<HashMap<Uuid, Running>>>,
    pub retry_seconds: f64,
    pub drain: Duration,
    pub tasks: Tasks,
}

/// An attempt that runs here.
pub(crate) struct Running {
    pub attempt: i32,
    pub permit: Option<Permit>,
    stop: StopHandle,
}

impl Running {
    /// The entry for a claimed job, and what its code gets.
    pub fn new(shared: &Shared, claimed: &Claimed, permit: Option<Permit>) -> (Self, Run) {
        let worker = shared.spec.name.clone();
        let run = Run::new(
            claimed.clone(),
            worker.clone(),
            Backend::for_attempt(shared.jobs.clone(), claimed, &worker),
            shared.tasks.clone(),
            Audience::Broker(Box::new(shared.bus.clone())),
        );
        (Self { attempt: claimed.attempt, permit, stop: run.stop_handle().clone() }, run)
    }

    pub fn stop(&self, reason: StopReason) {
        self.stop.stop(reason);
    }
}

impl Shared {
    /// Frees the slot of a job and acknowledges its permit.
    pub async fn release(&self, job_id: Uuid) {
        let running = self.running.lock().await.remove(&job_id);
        if let Some(permit) = running.and_then(|running| running.permit) {
            permit.done().await;
        }
    }

    pub async fn free_slots(&self) -> usize {
        let running = self.running.lock().await.len();
        (self.spec.concurrency as usize).saturating_sub(running)
    }
}
