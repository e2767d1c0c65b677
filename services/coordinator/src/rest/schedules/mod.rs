//! `/api/v1/schedules`

pub(super) mod delete;
pub(super) mod list;
pub(super) mod put;
pub(super) mod show;
