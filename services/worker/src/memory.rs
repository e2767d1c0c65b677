//! How much memory jobs may take.

use std::sync::Arc;

use jobs::{Fail, Kind, WorkerSpec};
use store::Claimed;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What a process takes before its job does anything: program, threads, connection.
const BASE_MIB: u32 = 96;
/// A job that says nothing of its memory gets at least this, if the worker has it; then fewer such jobs run
/// at a time than there are slots.
const LEAST_SHARE_MIB: u32 = 1_024;
/// Of memory that nobody configured, the part that jobs may take: the machine has other things to do.
const OF_MACHINE: f64 = 0.75;

/// The memory that the jobs of a worker share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Memory {
    total: u32,
    share: u32,
    free: Arc<Semaphore>,
}

/// Memory that a job may take, until this is dropped.
pub(crate) struct Reserved {
    pub mib: u32,
    _permit: OwnedSemaphorePermit,
}

impl Memory {
    /// Of a worker; `configured`: somebody said how much memory it offers.
    pub fn of(spec: &WorkerSpec, configured: bool) -> Self {
        let part = if configured { 1.0 } else { OF_MACHINE };
        // Semaphores count up to 2^61, and 2^32 MiB are 4 PiB. A float is cut to the range of the integer.
        let total = ((spec.capabilities.memory_gb * part * 1_024.0) as u32).max(1);
        let slots = spec.concurrency.unsigned_abs().max(1);
        Self {
            total,
            share: (total / slots).max(LEAST_SHARE_MIB).min(total),
            free: Arc::new(Semaphore::new(total as usize)),
        }
    }

    /// How much a job may take, in MiB: its share, more when it needs more, everything when it died of memory
    /// before. An error when there is not so much.
    pub fn granted(&self, claimed: &Claimed, needed: u32) -> Result<u32, String> {
        if needed > self.total {
            let total = self.total;
            return Err(format!(
                "needs {needed} MiB of memory, and this worker has {total} MiB for jobs; requirements.min_memory_gb finds a larger one"
            ));
        }
        let asked = (claimed.min_memory_gb * 1_024.0) as u32;
        let share = if claimed.crashes > 0 { self.total } else { self.share };
        Ok(share.max(needed).max(asked).min(self.total))
    }

    /// Waits until so much is free; who came first gets it first.
    pub async fn reserve(&self, mib: u32) -> Option<Reserved> {
        let permit = self.free.clone().acquire_many_owned(mib).await.ok()?;
        Some(Reserved { mib, _permit: permit })
    }
}

/// The least memory that a job needs, in MiB, when it must run in a process of its own: what it takes is not
/// known to be small, or may kill its process.
pub(crate) fn needed_mib(kind: &Kind) -> Option<u32> {
    match kind {
        Kind::Report(_) => None,
        Kind::Diagnostic(job) if job.memory_mb == 0 && job.fail != Fail::Crash => None,
        Kind::Diagnostic(job) => {
            Some(u32::try_from(job.memory_mb).unwrap_or(u32::MAX).saturating_add(BASE_MIB))
        }
        Kind::Longtail(_) | Kind::Snowshoe(_) | Kind::Botnet(_) => Some(BASE_MIB),
    }
}
