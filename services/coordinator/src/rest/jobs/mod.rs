//! `/api/v1/jobs`

pub(super) mod cancel;
pub(super) mod events;
pub(super) mod list;
pub(super) mod retry;
pub(super) mod show;
pub(super) mod submit;
