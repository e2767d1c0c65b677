//! `/api/v1/job-types`

pub(super) mod list;
pub(super) mod show;
