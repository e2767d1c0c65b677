//! The types of jobs and what each takes.

use std::ops::RangeInclusive;

use chrono::{DateTime, Utc};
use fields::{Age, FieldError, Fields};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// Shortest and longest time range of a report.
const REPORT: RangeInclusive<Age> = Age::minutes(1)..=Age::days(90);
/// Shortest and longest time range of an analysis.
const ANALYSIS: RangeInclusive<Age> = Age::minutes(1)..=Age::days(366);

/// Seconds since 1970 of the earliest end of a range, and of the first moment that is too late for one.
const EARLIEST: i64 = 0;
const LATEST: i64 = 253_370_764_800;

/// Every type, with the queue its jobs go to.
pub const TYPES: [(&str, &str); 5] = [
    ("report", "reports"),
    ("longtail_analysis", "longtail"),
    ("snowshoe_detection", "snowshoe"),
    ("botnet_coordination", "botnet"),
    ("diagnostic", "reports"),
];

/// A job's type with its parameters; serialized, the parameters.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(untagged)]
pub enum Kind {
    Report(Report),
    Longtail(Longtail),
    Snowshoe(Campaigns),
    Botnet(Campaigns),
    Diagnostic(Diagnostic),
}

/// The time range of an analysis
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct AnalysisRange {
    /// Only events of this sensor; null: of all sensors
    #[schema(pattern = "^[A-Za-z0-9_-]{1,64}$")]
    pub sensor: Option<String>,
    /// Its length: a number and m, h, d or w; at most 366 d
    #[schema(required = false, pattern = "^[0-9]+[smhdw]$")]
    pub time_window: String,
    /// The same in seconds
    #[schema(required = false, read_only)]
    pub window_seconds: i64,
    /// Its end; null: the start of the job
    pub until: Option<DateTime<Utc>>,
}

/// Parameters of longtail_analysis: what is rare, odd or new
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = LongtailParameters)]
pub struct Longtail {
    #[serde(flatten)]
    pub range: AnalysisRange,
    /// The lowest score of a finding
    #[schema(required = false, minimum = 0, maximum = 1, default = 0.7)]
    pub threshold: f64,
    /// Compute everything again, also what earlier runs stored
    #[schema(required = false, default = false)]
    pub full: bool,
    /// Random seed
    #[schema(required = false, minimum = 0, maximum = 9007199254740992_i64, default = 1)]
    pub seed: i64,
}

/// Parameters of snowshoe_detection and botnet_coordination: sources that act together
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = CampaignParameters)]
pub struct Campaigns {
    #[serde(flatten)]
    pub range: AnalysisRange,
    /// The lowest confidence of a finding
    #[schema(required = false, minimum = 0, maximum = 1, default = 0.7)]
    pub threshold: f64,
    /// Fewer sources than this are not a campaign
    #[schema(required = false, minimum = 2, maximum = 100000, default = 3)]
    pub min_sources: i64,
}

/// Parameters of report: counts and top lists of a time range
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = ReportParameters)]
pub struct Report {
    /// Only events of this sensor; null: of all sensors
    #[schema(pattern = "^[A-Za-z0-9_-]{1,64}$")]
    pub sensor: Option<String>,
    /// Length of the time range: a number and m, h, d or w; at most 90 d
    #[schema(required = false, pattern = "^[0-9]+[smhdw]$", default = "24h")]
    pub time_window: String,
    /// The same in seconds
    #[schema(required = false, read_only)]
    pub window_seconds: i64,
    /// End of the time range; null: the minute in which the job starts
    pub until: Option<DateTime<Utc>>,
    /// Entries of each top list
    #[schema(required = false, minimum = 1, maximum = 100, default = 10)]
    pub top: i64,
}

/// Parameters of diagnostic: steps that do nothing, for trying a deployment
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = DiagnosticParameters)]
pub struct Diagnostic {
    #[schema(required = false, minimum = 0, maximum = 100000, default = 3)]
    pub steps: i64,
    /// Seconds that each step takes
    #[schema(required = false, minimum = 0, maximum = 3600, default = 1.0)]
    pub step_seconds: f64,
    /// Memory that is held meanwhile, in MiB
    #[schema(required = false, minimum = 0, maximum = 65536, default = 0)]
    pub memory_mb: i64,
    /// Whether and how an attempt ends early
    #[schema(required = false)]
    pub fail: Fail,
    /// It ends before this step
    #[schema(required = false, minimum = 0, maximum = 100000, default = 0)]
    pub fail_at_step: i64,
    /// Only this many attempts end early
    #[schema(required = false, minimum = 0, maximum = 100, default = 100)]
    pub fail_attempts: i64,
}

/// How an attempt of a diagnostic job ends early
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fail {
    Never,
    Retry,
    GiveUp,
    Panic,
    /// The worker's process is killed
    Crash,
}

impl Kind {
    /// Reads a type and its parameters; adds each wrong field to `errors`.
    pub fn read(job_type: &str, parameters: Value, errors: &mut Vec<FieldError>) -> Option<Self> {
        let mut fields = Fields::of(parameters, "parameters.", errors);
        let kind = match job_type {
            "report" => Self::Report(Report::read(&mut fields)),
            "longtail_analysis" => Self::Longtail(Longtail::read(&mut fields)),
            "snowshoe_detection" => Self::Snowshoe(Campaigns::read(&mut fields)),
            "botnet_coordination" => Self::Botnet(Campaigns::read(&mut fields)),
            "diagnostic" => Self::Diagnostic(Diagnostic::read(&mut fields)),
            _ => {
                let known: Vec<_> = TYPES.iter().map(|(name, _)| *name).collect();
                let message = format!(
                    "unknown job type {:?}; known: {}",
                    job_type.chars().take(60).collect::<String>(),
                    known.join(", ")
                );
                errors.push(FieldError::new("job_type", message));
                return None;
            }
        };
        fields.end();
        Some(kind)
    }

    /// Reads the stored form, as [`Self::parameters`] wrote it.
    pub fn stored(job_type: &str, parameters: Value) -> Result<Self, String> {
        match job_type {
            "report" => serde_json::from_value(parameters).map(Self::Report),
            "longtail_analysis" => serde_json::from_value(parameters).map(Self::Longtail),
            "snowshoe_detection" => serde_json::from_value(parameters).map(Self::Snowshoe),
            "botnet_coordination" => serde_json::from_value(parameters).map(Self::Botnet),
            "diagnostic" => serde_json::from_value(parameters).map(Self::Diagnostic),
            _ => return Err(format!("this program knows no job type {job_type}")),
        }
        .map_err(|error| format!("stored parameters of {job_type}: {error}"))
    }

    pub fn name(&self) -> &'static str {
        match self {
            Self::Report(_) => "report",
            Self::Longtail(_) => "longtail_analysis",
            Self::Snowshoe(_) => "snowshoe_detection",
            Self::Botnet(_) => "botnet_coordination",
            Self::Diagnostic(_) => "diagnostic",
        }
    }

    /// The queue of a request that names none.
    pub fn queue(&self) -> &'static str {
        TYPES.iter().find(|(name, _)| *name == self.name()).map_or("reports", |(_, queue)| queue)
    }

    /// The stored form: the parameters with their defaults.
    pub fn parameters(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    /// The parameters without what has two spellings: `24h` and `1d` are the same `window_seconds`.
    pub(crate) fn without_spelling(&self) -> Self {
        let mut kind = self.clone();
        match &mut kind {
            Self::Report(report) => report.time_window.clear(),
            Self::Longtail(longtail) => longtail.range.time_window.clear(),
            Self::Snowshoe(campaigns) | Self::Botnet(campaigns) => campaigns.range.time_window.clear(),
            Self::Diagnostic(_) => (),
        }
        kind
    }
}

impl Report {
    fn read(fields: &mut Fields<'_>) -> Self {
        let sensor = fields.name("sensor").map(String::from);
        let (time_window, window) = fields.window("time_window", REPORT, "24h");
        Self {
            sensor,
            time_window,
            window_seconds: window.seconds(),
            until: until(fields),
            top: fields.integer("top", 1..=100, 10),
        }
    }
}

/// The end of a range. Times computed from it, such as the start of the range, must be within RFC 3339.
fn until(fields: &mut Fields<'_>) -> Option<DateTime<Utc>> {
    let until = fields.time("until")?;
    if (EARLIEST..LATEST).contains(&until.timestamp()) {
        return Some(until);
    }
    fields.wrong("until", "expected a time from 1970-01-01T00:00:00Z on and before 9999-01-01T00:00:00Z");
    None
}

impl AnalysisRange {
    fn read(fields: &mut Fields<'_>, default: &'static str) -> Self {
        let sensor = fields.name("sensor").map(String::from);
        let (time_window, window) = fields.window("time_window", ANALYSIS, default);
        Self { sensor, time_window, window_seconds: window.seconds(), until: until(fields) }
    }
}

impl Longtail {
    fn read(fields: &mut Fields<'_>) -> Self {
        Self {
            range: AnalysisRange::read(fields, "24h"),
            threshold: fields.number("threshold", 0.0..=1.0, 0.7),
            full: fields.flag("full", false),
            // What a double holds exactly: protobuf's Struct knows no other numbers.
            seed: fields.integer("seed", 0..=1 << 53, 1),
        }
    }
}

impl Campaigns {
    fn read(fields: &mut Fields<'_>) -> Self {
        Self {
            range: AnalysisRange::read(fields, "7d"),
            threshold: fields.number("threshold", 0.0..=1.0, 0.7),
            min_sources: fields.integer("min_sources", 2..=100_000, 3),
        }
    }
}

impl Diagnostic {
    fn read(fields: &mut Fields<'_>) -> Self {
        let steps = fields.integer("steps", 0..=100_000, 3);
        let fail = match fields.one_of("fail", &["never", "retry", "give_up", "panic", "crash"]) {
            None | Some("never") => Fail::Never,
            Some("retry") => Fail::Retry,
            Some("give_up") => Fail::GiveUp,
            Some("panic") => Fail::Panic,
            Some(_) => Fail::Crash,
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_analysis_fills_in_its_defaults_and_reads_what_was_stored() {
        let mut errors = Vec::new();
        let longtail = Kind::read("longtail_analysis", json!({}), &mut errors).unwrap();
        assert_eq!(
            longtail.parameters(),
            json!({ "sensor": null, "time_window": "24h", "window_seconds": 86_400, "until": null, "threshold": 0.7, "full": false, "seed": 1 })
        );
        assert_eq!(longtail.queue(), "longtail");
        for (name, queue) in [("snowshoe_detection", "snowshoe"), ("botnet_coordination", "botnet")] {
            let kind = Kind::read(
                name,
                json!({ "time_window": "366d", "min_sources": 5, "until": "2026-11-24T08:00:00Z" }),
                &mut errors,
            )
            .unwrap();
            assert_eq!((kind.name(), kind.queue()), (name, queue));
            assert_eq!(Kind::stored(name, kind.parameters()).as_ref(), Ok(&kind));
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
            Kind::read(job_type, json!({ "until": until }), &mut errors);
            assert_eq!(errors.is_empty(), allowed, "{job_type} {until}: {errors:?}");
        }
    }

    #[test]
    fn an_analysis_refuses_what_it_does_not_know_by_name() {
        let mut errors = Vec::new();
        Kind::read(
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
