//! `/api/v1/queues`

pub(super) mod list;
pub(super) mod pause;
pub(super) mod resume;
pub(super) mod show;

use serde::Serialize;
use utoipa::ToSchema;

/// Whether a queue is paused
#[derive(Serialize, ToSchema)]
pub(super) struct Paused {
    queue: String,
    paused: bool,
}
