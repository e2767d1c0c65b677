//! What the jobs of each type return. A job runs in another crate; these types are its contract with clients.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// Result of report
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ReportResult {
    /// Beginning of the time range
    pub from: DateTime<Utc>,
    /// End of the time range; not part of it
    pub to: DateTime<Utc>,
    /// The sensor that was asked for
    #[schema(required = true)]
    pub sensor: Option<String>,
    /// Counts of the whole time range
    pub counts: WindowCounts,
    /// Counts of equal parts of the time range, oldest first
    pub timeline: Vec<ReportPoint>,
    /// Top lists by dimension: src_ip, src_net, username, password, command, download, hassh, forward; empty
    /// for a report of one sensor
    pub top: BTreeMap<String, Vec<TopEntry>>,
    /// The same as text
    pub markdown: String,
}

/// Counts of a time range. Distinct counts are exact up to a few hundred, then estimates
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct WindowCounts {
    /// How exact the ends of the range are: minute, hour, day
    pub grain: String,
    pub events: i64,
    pub sessions: i64,
    pub logins_failed: i64,
    pub logins_succeeded: i64,
    pub commands: i64,
    pub downloads: i64,
    pub bytes: i64,
    #[schema(required = true)]
    pub first_seen: Option<DateTime<Utc>>,
    #[schema(required = true)]
    pub last_seen: Option<DateTime<Utc>>,
    pub distinct_src_ips: i64,
    pub distinct_sensors: i64,
    pub distinct_sessions: i64,
    pub distinct_credentials: i64,
}

/// Counts of a part of the time range
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ReportPoint {
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
    #[serde(flatten)]
    pub counts: WindowCounts,
}

/// An entry of a top list
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct TopEntry {
    /// What an attacker sent, as it was sent
    pub key: String,
    pub value: i64,
}

/// Result of longtail_analysis, snowshoe_detection and botnet_coordination
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct AnalysisResult {
    /// longtail, snowshoe, botnet
    pub analysis: String,
    /// incremental if days came from an earlier run, else full
    pub analysis_type: String,
    /// Beginning of the time range
    pub from: DateTime<Utc>,
    /// End of the time range; not part of it
    pub to: DateTime<Utc>,
    /// The sensor that was asked for
    #[schema(required = true)]
    pub sensor: Option<String>,
    /// Sessions that were analysed
    pub sessions: u64,
    /// Sessions that an earlier run had read
    pub cached_sessions: u64,
    /// Sessions that this run read
    pub new_sessions: u64,
    pub duration_seconds: f64,
    /// Counts and parameters of the analysis
    #[schema(value_type = Object)]
    pub summary: Value,
    /// Findings of this run; `findings` has the first 100
    pub findings_total: u64,
    pub findings_new: u64,
    pub findings_updated: u64,
    pub findings_unchanged: u64,
    /// Findings without passwords, the most confident first
    #[schema(value_type = Vec<Object>)]
    pub findings: Vec<Value>,
    /// The same as text
    pub markdown: String,
}

/// Result of diagnostic
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct DiagnosticResult {
    pub steps: i64,
    /// The step at which the last attempt began
    pub resumed_at: i64,
    pub attempt: i32,
    pub worker: String,
    pub memory_mb: i64,
}
