//! Writes how attempts ended.

use boot::Duty;
use bus::News;
use store::{
    Failure,
    jobs::{End, Outcome},
};

use crate::{metrics::ATTEMPTS, publish, shared::Shared};

/// Longest reason of a refused end that is stored, in characters.
const LONGEST_REASON: usize = 500;

/// Ends that the database does not have yet.
pub(crate) struct Ends {
    shared: Shared,
    unwritten: Vec<End>,
    duty: Duty,
}

impl Ends {
    pub fn new(shared: Shared) -> Self {
        Self { shared, unwritten: Vec::new(), duty: Duty::new("write the ends of jobs") }
    }

    pub fn push(&mut self, end: End) {
        self.unwritten.push(end);
    }

    /// Writes what it can. Returns whether everything was written.
    pub async fn write(&mut self) -> bool {
        let outcome = self.write_all().await;
        let is_done = outcome.is_ok();
        self.duty.report(outcome);
        is_done
    }

    /// Writes all ends together. If Postgres refuses them, writes each alone, so that one bad end does not
    /// block the others.
    async fn write_all(&mut self) -> Result<(), Failure> {
        if self.unwritten.is_empty() {
            return Ok(());
        }
        match self.insert(&self.unwritten).await {
            Ok(()) => {
                self.unwritten.clear();
                Ok(())
            }
            Err(failure) if failure.is_outage() => Err(failure),
            Err(_) => self.write_each().await,
        }
    }

    async fn write_each(&mut self) -> Result<(), Failure> {
        let mut outcome = Ok(());
        for end in std::mem::take(&mut self.unwritten) {
            match self.insert(std::slice::from_ref(&end)).await {
                Ok(()) => (),
                Err(Failure::Reject(error)) => self.fail_refused(end, &error).await,
                Err(failure) => {
                    self.unwritten.push(end);
                    outcome = Err(failure);
                }
            }
        }
        outcome
    }

    /// Fails a job whose end Postgres refuses, with the reason.
    async fn fail_refused(&self, end: End, error: &anyhow::Error) {
        let job_id = end.job_id;
        tracing::error!(
            %job_id, attempt = end.attempt, error = format!("{error:#}"),
            "could not store the end of a job; it fails"
        );
        let reason = format!("the end of the attempt could not be stored: {error:#}");
        let error = ("EndRefused".to_owned(), boot::safe_up_to(&reason, LONGEST_REASON));
        if let Err(failure) = self.insert(&[End { outcome: Outcome::Failed { error }, ..end }]).await {
            let error = failure.to_string();
            tracing::error!(%job_id, error, "could not store that a job failed; its lease ends");
            self.shared.release(job_id).await;
        }
    }

    /// Commits ends, frees their slots, and publishes the statuses.
    async fn insert(&self, ends: &[End]) -> Result<(), Failure> {
        let mut connection = self.shared.store.connection().await?;
        let statuses = store::jobs::end(&mut connection, self.shared.worker_id, ends).await?;
        drop(connection);
        for end in ends {
            self.shared.release(end.job_id).await;
        }
        for status in statuses {
            metrics::counter!(ATTEMPTS, "state" => status.state.name()).increment(1);
            publish::publish(&self.shared.bus, News::Status, &status).await;
        }
        Ok(())
    }
}
