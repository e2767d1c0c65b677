//! Where job code reads and writes.
//!
//! [`Backend::apply`] is the only function that writes for a job. It writes a step in one transaction, which
//! commits only if the attempt still holds its lease.

mod reader;

use jobs::Status;
use store::{Failure, Store, Transaction, findings::Upserted, jobs::Claimed};
use uuid::Uuid;

pub(crate) use self::reader::Reader;
use crate::step::{LongtailRun, Step};

/// Writes the steps of one attempt into the database. Cheap to clone.
#[derive(Clone)]
pub struct Backend {
    store: Store,
    /// `None`: no job, so no lease to check.
    attempt: Option<Attempt>,
}

#[derive(Clone)]
struct Attempt {
    job_id: Uuid,
    number: i32,
    worker: String,
}

/// What a step changed.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Applied {
    pub findings: Upserted,
    /// The status of the job, if the step reported progress.
    pub status: Option<Status>,
}

/// Why nothing of a step was written.
#[derive(Debug)]
pub enum ApplyError {
    /// The attempt no longer holds its lease.
    LeaseLost,
    /// This step of a `diagnostic` job was stored before.
    Repeated(i64),
    Store(Failure),
}

impl From<Failure> for ApplyError {
    fn from(failure: Failure) -> Self {
        Self::Store(failure)
    }
}

impl Backend {
    /// Writes for an attempt, as long as that holds its lease.
    pub fn for_attempt(store: Store, claimed: &Claimed, worker: &str) -> Self {
        let attempt = Attempt { job_id: claimed.job_id, number: claimed.attempt, worker: worker.to_owned() };
        Self { store, attempt: Some(attempt) }
    }

    /// Writes without a job.
    pub fn without_job(store: Store) -> Self {
        Self { store, attempt: None }
    }

    pub(crate) fn reader(&self) -> Reader {
        Reader::new(self.store.clone())
    }

    /// Writes a step: all of it, or nothing.
    pub async fn apply(&self, step: &Step) -> Result<Applied, ApplyError> {
        let mut transaction =
            if step.is_large() { self.store.begin_long().await? } else { self.store.begin().await? };
        let findings = self.write(&mut transaction, step).await?;
        let status = match &self.attempt {
            Some(attempt) => write_job(&mut transaction, attempt, step).await?,
            None => None,
        };
        transaction.commit().await.map_err(Failure::from)?;
        Ok(Applied { findings, status })
    }

    /// Writes every row but the job's. The order of the tables is the same for each job, so that two jobs
    /// cannot deadlock.
    async fn write(&self, transaction: &mut Transaction, step: &Step) -> Result<Upserted, ApplyError> {
        if let (Some(number), Some(attempt)) = (step.diagnostic_step, &self.attempt) {
            let Attempt { job_id, number: attempt, worker } = attempt;
            if !store::jobs::diagnostic_step(transaction, *job_id, *attempt, number, worker).await? {
                return Err(ApplyError::Repeated(number));
            }
        }
        if let Some(day) = &step.longtail_day {
            store::analyses::longtail::put_part(transaction, &day.range, day.version, &day.part).await?;
        }
        let job_id = self.attempt.as_ref().map(|attempt| attempt.job_id);
        let upserted = store::findings::upsert(transaction, job_id, &step.findings).await?;
        if let Some(run) = &step.longtail_run {
            write_longtail(transaction, job_id, run).await?;
        }
        Ok(upserted)
    }
}

async fn write_longtail(
    transaction: &mut Transaction,
    job_id: Option<Uuid>,
    run: &LongtailRun,
) -> Result<(), Failure> {
    store::analyses::longtail::replace_scores(transaction, &run.range, job_id, run.threshold, &run.scores)
        .await?;
    if let Some(model) = &run.model {
        store::analyses::longtail::put_model(transaction, &run.range, run.version, &model.id, &model.bytes)
            .await?;
    }
    store::analyses::longtail::forget(transaction, &run.range).await
}

/// Checks the lease and locks the job's row, as late as possible, then writes checkpoint and progress.
async fn write_job(
    transaction: &mut Transaction,
    attempt: &Attempt,
    step: &Step,
) -> Result<Option<Status>, ApplyError> {
    if !store::jobs::holds(transaction, attempt.job_id, attempt.number).await? {
        return Err(ApplyError::LeaseLost);
    }
    if let Some(checkpoint) = &step.checkpoint {
        store::jobs::set_checkpoint(transaction, attempt.job_id, checkpoint).await?;
    }
    let Some(progress) = &step.progress else { return Ok(None) };
    let status = store::jobs::set_progress(transaction, attempt.job_id, attempt.number, progress).await?;
    Ok(Some(status.ok_or(ApplyError::LeaseLost)?))
}
