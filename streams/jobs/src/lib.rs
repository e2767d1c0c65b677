//! What a job is: types and their parameters, requests, status, and the keys of the Redis mirror.
//!
//! **Invariant**: a [`Request`] that exists is valid; nothing here waits or has side effects.

mod cron;
mod kind;
pub mod mirror;
mod request;
mod status;
mod worker;

pub use cron::Cron;
pub use kind::{AnalysisRange, Campaigns, Diagnostic, Fail, Kind, Longtail, Report, TYPES};
pub use request::{Request, Requirements};
pub use status::{JobError, State, Status};
pub use worker::{Capabilities, Preference, WorkerSpec};
