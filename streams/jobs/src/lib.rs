//! What a job is: its types and their parameters, requests and what is wrong with them, its status, and its
//! views.
//!
//! **Invariant**: a [`Request`] that exists is valid; nothing here waits or has side effects.

mod cron;
mod kind;
mod request;
mod schema;
mod status;
pub mod views;
mod worker;

pub use cron::Cron;
pub use kind::{AnalysisRange, Campaigns, Diagnostic, Fail, Kind, Longtail, Report, TYPES};
pub use request::{Request, Requirements};
pub use schema::{JobRequest, JobType, Parameters};
pub use status::{JobError, State, Status};
pub use worker::{Capabilities, Preference, WorkerSpec};
