//! `/api/v1/workers`

pub(super) mod list;
pub(super) mod remove;
pub(super) mod show;
