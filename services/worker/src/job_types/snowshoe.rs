//! `snowshoe_detection`: sources that act together, each of them quiet.

use analysis::campaign::Kind;
use futures::future::BoxFuture;
use jobs::Campaigns;

use super::{JobCode, PROCESS_MIB, analysis_job};
use crate::{
    analyses::Analysis,
    run::{JobResult, Run},
};

pub(super) struct Snowshoe(pub Campaigns);

impl JobCode for Snowshoe {
    fn process_memory_mib(&self) -> Option<u32> {
        Some(PROCESS_MIB)
    }

    fn execute<'a>(&'a self, run: &'a Run) -> BoxFuture<'a, JobResult> {
        let analysis = Analysis::Campaigns(Kind::Snowshoe, analysis_job::campaign_parameters(&self.0));
        Box::pin(analysis_job::execute(run, analysis, &self.0.range, false))
    }
}
