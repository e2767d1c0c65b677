//! The types of jobs and what each takes.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{FieldError, Fields};

/// Longest time range of a report.
const LONGEST_WINDOW: i64 = 90 * 86_400;

/// Every type, with the queue its jobs go to.
pub const TYPES: [(&str, &str); 2] = [("report", "reports"), ("diagnostic", "reports")];

/// A job's type with its parameters.
#[derive(Clone, PartialEq, Debug)]
#[allow(missing_docs, reason = "the structs say it")]
pub enum Kind {
    Report(Report),
    Diagnostic(Diagnostic),
}

/// Counts and tops of a time range.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Of one sensor; of all without it.
    pub sensor: Option<String>,
    /// As it was given: `24h`.
    pub time_window: String,
    /// Its length in seconds.
    pub window_seconds: i64,
    /// The end of the range; the minute of the job's start without it.
    pub until: Option<DateTime<Utc>>,
    /// Entries of each top list.
    pub top: i64,
}

/// Steps that do nothing, in the way that is asked for: for trying a deployment.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Diagnostic {
    /// How many.
    pub steps: i64,
    /// Seconds that each takes.
    pub step_seconds: f64,
    /// Memory that is held meanwhile, in MiB.
    pub memory_mb: i64,
    /// Whether and how an attempt ends.
    pub fail: Fail,
    /// Before this step; the steps before it are done.
    pub fail_at_step: i64,
    /// Only so many attempts end so.
    pub fail_attempts: i64,
}

/// How an attempt of a diagnostic job ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Fail {
    Never,
    Retry,
    GiveUp,
    Panic,
}

impl Kind {
    /// Reads a type and its parameters; everything that is wrong is added to `errors`.
    pub fn read(job_type: &str, parameters: Value, errors: &mut Vec<FieldError>) -> Option<Self> {
        let mut fields = Fields::of(parameters, "parameters.", errors);
        let kind = match job_type {
            "report" => Self::Report(Report::read(&mut fields)),
            "diagnostic" => Self::Diagnostic(Diagnostic::read(&mut fields)),
            _ => {
                let known: Vec<_> = TYPES.iter().map(|(name, _)| *name).collect();
                let message = format!("unknown job type {:?}; known: {}", job_type.chars().take(60).collect::<String>(), known.join(", "));
                errors.push(FieldError { field: "job_type".into(), message });
                return None;
            }
        };
        fields.end();
        Some(kind)
    }

    /// Reads what was stored by [`Self::parameters`].
    pub fn stored(job_type: &str, parameters: Value) -> Result<Self, String> {
        match job_type {
            "report" => serde_json::from_value(parameters).map(Self::Report),
            "diagnostic" => serde_json::from_value(parameters).map(Self::Diagnostic),
            _ => return Err(format!("this program knows no job type {job_type}")),
        }
        .map_err(|error| format!("stored parameters of {job_type}: {error}"))
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Report(_) => "report",
            Self::Diagnostic(_) => "diagnostic",
        }
    }

    /// The queue its jobs go to unless another is named.
    pub fn queue(&self) -> &'static str {
        TYPES.iter().find(|(name, _)| *name == self.name()).map_or("reports", |(_, queue)| queue)
    }

    /// What is stored: defaults filled in.
    pub fn parameters(&self) -> Value {
        match self {
            Self::Report(report) => serde_json::to_value(report),
            Self::Diagnostic(diagnostic) => serde_json::to_value(diagnostic),
        }
        .unwrap_or_default()
    }
}

impl Report {
    fn read(fields: &mut Fields<'_>) -> Self {
        let sensor = fields.text("sensor", 64);
        if let Some(sensor) = &sensor
            && !crate::is_name(sensor)
        {
            fields.wrong("sensor", "expected a sensor id: letters, digits, _ and -");
        }
        let (time_window, window_seconds) = fields.span("time_window", 60..=LONGEST_WINDOW, "24h");
        Self { sensor, time_window, window_seconds, until: fields.time("until"), top: fields.integer("top", 1..=100, 10) }
    }
}

impl Diagnostic {
    fn read(fields: &mut Fields<'_>) -> Self {
        let steps = fields.integer("steps", 0..=100_000, 3);
        let fail = match fields.one_of("fail", &["never", "retry", "give_up", "panic"]) {
            None | Some("never") => Fail::Never,
            Some("retry") => Fail::Retry,
            Some("give_up") => Fail::GiveUp,
            Some(_) => Fail::Panic,
        };
        Self {
            steps,
            step_seconds: fields.number("step_seconds", 0.0..=3_600.0, 1.0),
            memory_mb: fields.integer("memory_mb", 0..=65_536, 0),
            fail,
            fail_at_step: fields.integer("fail_at_step", 0..=100_000, 0),
            fail_attempts: fields.integer("fail_attempts", 0..=100, 100),
        }
    }
}
