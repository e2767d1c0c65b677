//! What a job is: its types with their parameters and results, requests and what is wrong with them, its
//! status, and its views.
//!
//! **Invariant**: a [`Request`] that exists is valid; nothing here waits or has side effects.

#[macro_use]
mod table;

mod cron;
mod json_schema;
mod parameters;
mod request;
mod result;
mod schema;
mod status;
mod types;
pub mod views;
mod worker;

pub use cron::Cron;
pub use json_schema::{job_type, job_types};
pub use parameters::{AnalysisRange, Campaigns, Diagnostic, Fail, Longtail, Report};
pub use request::{Request, Requirements};
pub use result::{AnalysisResult, DiagnosticResult, ReportPoint, ReportResult, TopEntry, WindowCounts};
pub use schema::{JobRequest, ScheduledJobRequest, schema_of_each_type};
pub use status::{JobError, State, Status};
pub use types::{JobParameters, JobType, TYPES};
pub use worker::{Capabilities, Preference, WorkerSpec};
