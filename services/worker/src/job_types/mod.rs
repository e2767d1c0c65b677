//! The code of each job type, one file per type.
//!
//! Job code gets a [`Run`]. It reads through [`Run::reader`] and writes through [`Run::apply`], so it never
//! has a connection or a transaction.

mod analysis_job;
mod botnet;
mod diagnostic;
mod longtail;
mod report;
mod snowshoe;

use futures::future::BoxFuture;
use jobs::JobParameters;
use store::jobs::Claimed;

use crate::{
    error::AttemptError,
    run::{JobResult, Run},
};

/// Memory that a process needs before its job does anything: program, threads, connection. In MiB.
const PROCESS_MIB: u32 = 96;

/// The parameters of a job with the code that runs them.
pub(crate) trait JobCode: Send + Sync {
    /// The least memory in MiB of a job that needs a process of its own, because it may take much memory or
    /// kill its process. `None`: it runs in the process of the worker.
    fn process_memory_mib(&self) -> Option<u32> {
        None
    }

    /// Runs one attempt. A later attempt gets the last checkpoint in [`Run::claimed`].
    fn execute<'a>(&'a self, run: &'a Run) -> BoxFuture<'a, JobResult>;
}

/// The registry: the code of a claimed job.
pub(crate) fn code(claimed: &Claimed) -> Result<Box<dyn JobCode>, AttemptError> {
    let parameters = JobParameters::stored(&claimed.job_type, claimed.parameters.clone())
        .map_err(|why| AttemptError::GiveUp(anyhow::anyhow!(why)))?;
    Ok(match parameters {
        JobParameters::Report(report) => Box::new(report),
        JobParameters::Longtail(longtail) => Box::new(longtail),
        JobParameters::Snowshoe(campaigns) => Box::new(snowshoe::Snowshoe(campaigns)),
        JobParameters::Botnet(campaigns) => Box::new(botnet::Botnet(campaigns)),
        JobParameters::Diagnostic(diagnostic) => Box::new(diagnostic),
    })
}
