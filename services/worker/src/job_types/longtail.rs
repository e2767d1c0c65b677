//! `longtail_analysis`: what is rare, odd or new.

use analysis::longtail::Parameters;
use futures::future::BoxFuture;
use jobs::Longtail;

use super::{JobCode, PROCESS_MIB, analysis_job};
use crate::{
    analyses::Analysis,
    run::{JobResult, Run},
};

impl JobCode for Longtail {
    fn process_memory_mib(&self) -> Option<u32> {
        Some(PROCESS_MIB)
    }

    fn execute<'a>(&'a self, run: &'a Run) -> BoxFuture<'a, JobResult> {
        let parameters =
            Parameters { threshold: self.threshold, seed: self.seed.unsigned_abs(), ..Parameters::default() };
        Box::pin(analysis_job::execute(run, Analysis::Longtail(parameters), &self.range, self.full))
    }
}
