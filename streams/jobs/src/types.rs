//! The table of job types. A new type is one entry here, and a struct of parameters in `parameters.rs` that
//! it names.

use fields::{FieldError, Fields};
use serde::Serialize;
use serde_json::Value;

use crate::{
    json_schema::standalone,
    parameters::{Campaigns, Diagnostic, Longtail, Parameters, Report},
    result::{AnalysisResult, DiagnosticResult, ReportResult},
};

job_types! {
    Report {
        name: "report",
        queue: "reports",
        parameters: Report,
        result: ReportResult,
        summary: "Counts and top lists of a time range",
    }
    Longtail {
        name: "longtail_analysis",
        queue: "longtail",
        parameters: Longtail,
        result: AnalysisResult,
        summary: "Finds sessions that are rare, odd or new",
    }
    Snowshoe {
        name: "snowshoe_detection",
        queue: "snowshoe",
        parameters: Campaigns,
        result: AnalysisResult,
        summary: "Finds groups of sources that each do little and act together",
    }
    Botnet {
        name: "botnet_coordination",
        queue: "botnet",
        parameters: Campaigns,
        result: AnalysisResult,
        summary: "Finds groups of sources that use the same credentials, commands or tools",
    }
    Diagnostic {
        name: "diagnostic",
        queue: "reports",
        parameters: Diagnostic,
        result: DiagnosticResult,
        summary: "Steps that do nothing, for trying a deployment",
    }
}

/// A type of job, without parameters.
pub struct JobType {
    pub name: &'static str,
    /// The queue of a request that names none.
    pub queue: &'static str,
    /// What its jobs do.
    pub summary: &'static str,
    /// Makes the JSON Schema of its parameters.
    pub(crate) parameters: fn() -> Value,
    /// Makes the JSON Schema of its result.
    pub(crate) result: fn() -> Value,
}

impl JobType {
    /// The type of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        TYPES.iter().find(|known| known.name == name)
    }
}

impl JobParameters {
    /// Reads a type and its parameters; adds each wrong field to `errors`.
    pub fn read(job_type: &str, parameters: Value, errors: &mut Vec<FieldError>) -> Option<Self> {
        let mut fields = Fields::of(parameters, "parameters.", errors);
        if let Some(read) = Self::of_fields(job_type, &mut fields) {
            fields.end();
            return Some(read);
        }
        let message = format!(
            "unknown job type {:?}; known: {}",
            job_type.chars().take(60).collect::<String>(),
            TYPES.each_ref().map(|known| known.name).join(", ")
        );
        errors.push(FieldError::new("job_type", message));
        None
    }

    /// Reads the stored form, as [`Self::to_value`] wrote it.
    pub fn stored(job_type: &str, parameters: Value) -> Result<Self, String> {
        Self::of_stored(job_type, parameters)
            .ok_or_else(|| format!("this program knows no job type {job_type}"))?
            .map_err(|error| format!("stored parameters of {job_type}: {error}"))
    }

    /// The stored form: the parameters with their defaults.
    pub fn to_value(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    /// The parameters without what has two spellings.
    pub(crate) fn without_spelling(&self) -> Self {
        let mut parameters = self.clone();
        parameters.remove_spelling();
        parameters
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_analysis_fills_in_its_defaults_and_reads_what_was_stored() {
        let mut errors = Vec::new();
        let longtail = JobParameters::read("longtail_analysis", json!({}), &mut errors).unwrap();
        assert_eq!(
            longtail.to_value(),
            json!({ "sensor": null, "time_window": "24h", "window_seconds": 86_400, "until": null, "threshold": 0.7, "full": false, "seed": 1 })
        );
        assert_eq!(longtail.queue(), "longtail");
        for (name, queue) in [("snowshoe_detection", "snowshoe"), ("botnet_coordination", "botnet")] {
            let parameters = JobParameters::read(
                name,
                json!({ "time_window": "366d", "min_sources": 5, "until": "2026-11-24T08:00:00Z" }),
                &mut errors,
            )
            .unwrap();
            assert_eq!((parameters.name(), parameters.queue()), (name, queue));
            assert_eq!(JobParameters::stored(name, parameters.to_value()).as_ref(), Ok(&parameters));
        }
        assert_eq!(errors, []);
    }

    #[test]
    fn times_near_the_ends_of_the_calendar_are_refused() {
        for (job_type, until, allowed) in [
            ("report", "9998-12-31T23:59:59Z", true),
            ("report", "9999-01-01T00:00:00Z", false),
            ("report", "9999-12-31T23:59:59-23:59", false),
            ("longtail_analysis", "0000-01-01T00:00:00Z", false),
            ("botnet_coordination", "1970-01-01T00:00:00Z", true),
            ("snowshoe_detection", "1969-12-31T23:59:59Z", false),
        ] {
            let mut errors = Vec::new();
            JobParameters::read(job_type, json!({ "until": until }), &mut errors);
            assert_eq!(errors.is_empty(), allowed, "{job_type} {until}: {errors:?}");
        }
    }

    #[test]
    fn an_analysis_refuses_what_it_does_not_know_by_name() {
        let mut errors = Vec::new();
        JobParameters::read(
            "longtail_analysis",
            json!({ "threshold": 1.5, "full": "yes", "min_sources": 3, "time_window": "367d", "sensor": "a b" }),
            &mut errors,
        );
        let fields: Vec<_> = errors.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "parameters.sensor",
                "parameters.time_window",
                "parameters.threshold",
                "parameters.full",
                "parameters.min_sources"
            ]
        );
    }
}
