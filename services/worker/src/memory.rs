//! The memory that the jobs of a worker share.

use std::sync::Arc;

use jobs::WorkerSpec;
use store::jobs::Claimed;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A job that requests no memory gets at least this, if the worker has it. Then fewer of these jobs run at a
/// time than there are slots.
const LEAST_SHARE_MIB: u32 = 1_024;
/// The part of detected memory that jobs may take: the machine has other things to do.
const PART_FOR_JOBS: f64 = 0.75;

/// The memory that the jobs of a worker share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Memory {
    total_mib: u32,
    share_mib: u32,
    free: Arc<Semaphore>,
}

/// Memory that a job may take, until this is dropped.
pub(crate) struct Reserved {
    pub mib: u32,
    _permit: OwnedSemaphorePermit,
}

impl Memory {
    /// The memory of a worker. `is_configured`: its size is a setting, not what was detected.
    pub fn new(spec: &WorkerSpec, is_configured: bool) -> Self {
        let part = if is_configured { 1.0 } else { PART_FOR_JOBS };
        // A semaphore counts up to 2^61, and 2^32 MiB are 4 PiB. The cast limits a float to the range of u32.
        let total_mib = ((spec.capabilities.memory_gb * part * 1_024.0) as u32).max(1);
        let slots = spec.concurrency.unsigned_abs().max(1);
        Self {
            total_mib,
            share_mib: (total_mib / slots).max(LEAST_SHARE_MIB).min(total_mib),
            free: Arc::new(Semaphore::new(total_mib as usize)),
        }
    }

    /// How much a job may take, in MiB: its share, more if it needs more, and all of it if an earlier attempt
    /// died. An error if the worker does not have that much.
    pub fn grant(&self, claimed: &Claimed, needed_mib: u32) -> Result<u32, String> {
        let total = self.total_mib;
        if needed_mib > total {
            return Err(format!(
                "needs {needed_mib} MiB of memory, and this worker has {total} MiB for jobs; \
                 requirements.min_memory_gb finds a larger one"
            ));
        }
        let requested = (claimed.min_memory_gb * 1_024.0) as u32;
        let share = if claimed.crashes > 0 { total } else { self.share_mib };
        Ok(share.max(needed_mib).max(requested).min(total))
    }

    /// Waits until that much is free, first come, first served.
    pub async fn reserve(&self, mib: u32) -> Option<Reserved> {
        let permit = self.free.clone().acquire_many_owned(mib).await.ok()?;
        Some(Reserved { mib, _permit: permit })
    }
}
