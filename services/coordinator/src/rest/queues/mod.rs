//! `/api/v1/queues`

pub(super) mod list;
pub(super) mod pause;
pub(super) mod resume;
pub(super) mod show;
