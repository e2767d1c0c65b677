//! The parameters of each type of job: a struct with its limits in the schema, and what reads it.

use std::ops::RangeInclusive;

use chrono::{DateTime, Utc};
use fields::{Age, Fields};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Shortest and longest time range of a report.
const REPORT: RangeInclusive<Age> = Age::minutes(1)..=Age::days(90);
/// Shortest and longest time range of an analysis.
const ANALYSIS: RangeInclusive<Age> = Age::minutes(1)..=Age::days(366);

/// Seconds since 1970 of the earliest end of a range, and of the first moment that is too late for one.
const EARLIEST: i64 = 0;
const LATEST: i64 = 253_370_764_800;

/// What the table of types in `types.rs` needs of a struct of parameters.
pub(crate) trait Parameters {
    /// Reads the parameters of a request; adds each wrong field to the errors.
    fn read(fields: &mut Fields<'_>) -> Self;

    /// Removes what has two spellings: `24h` and `1d` are the same `window_seconds`.
    fn remove_spelling(&mut self) {}
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

impl Parameters for Report {
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

    fn remove_spelling(&mut self) {
        self.time_window.clear();
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

impl Parameters for Longtail {
    fn read(fields: &mut Fields<'_>) -> Self {
        Self {
            range: AnalysisRange::read(fields, "24h"),
            threshold: fields.number("threshold", 0.0..=1.0, 0.7),
            full: fields.flag("full", false),
            // What a double holds exactly: protobuf's Struct knows no other numbers.
            seed: fields.integer("seed", 0..=1 << 53, 1),
        }
    }

    fn remove_spelling(&mut self) {
        self.range.time_window.clear();
    }
}

impl Parameters for Campaigns {
    fn read(fields: &mut Fields<'_>) -> Self {
        Self {
            range: AnalysisRange::read(fields, "7d"),
            threshold: fields.number("threshold", 0.0..=1.0, 0.7),
            min_sources: fields.integer("min_sources", 2..=100_000, 3),
        }
    }

    fn remove_spelling(&mut self) {
        self.range.time_window.clear();
    }
}

impl Parameters for Diagnostic {
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
