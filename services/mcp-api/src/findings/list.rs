//! A page of findings.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use store::statistics::{
    self,
    findings::{FindingFilter, FindingRow},
};
use utoipa::ToSchema;
use uuid::Uuid;
use web::{Page, Principal, Problem, token};

use crate::{Api, problem::failed, redact};

/// Source addresses of a finding that are listed.
const MOST_SOURCES: usize = 100;

/// Something that a live rule or an analysis found
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
pub struct Finding {
    pub finding_id: Uuid,
    /// Rises when an analysis finds more of it
    pub revision: i32,
    /// signal, longtail, snowshoe or botnet
    #[schema(example = "signal")]
    pub kind: String,
    /// info, low, medium, high or critical
    #[schema(example = "high")]
    pub severity: String,
    pub rule: String,
    pub title: String,
    /// The sensor, if it is about one only
    #[schema(required = true)]
    pub sensor: Option<String>,
    /// Of a live rule: what the key is a value of
    #[schema(required = true)]
    pub dimension: Option<String>,
    /// What it is about
    pub key: String,
    pub found_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    #[schema(required = true)]
    pub confidence: Option<f32>,
    #[schema(required = true)]
    pub first_seen: Option<DateTime<Utc>>,
    #[schema(required = true)]
    pub last_seen: Option<DateTime<Utc>>,
    #[schema(required = true)]
    pub job_id: Option<Uuid>,
    /// What was measured, and what it was compared with
    #[schema(value_type = Object)]
    pub evidence: Value,
    /// Source addresses: the first 100
    pub sources: Vec<String>,
    pub source_count: usize,
    pub session_count: i64,
    /// open, acknowledged, false_positive or resolved
    #[schema(example = "open")]
    pub status: String,
    /// What was last said about it
    #[schema(required = true)]
    pub note: Option<String>,
    #[schema(required = true)]
    pub triaged_by: Option<String>,
    #[schema(required = true)]
    pub triaged_at: Option<DateTime<Utc>>,
}

impl Finding {
    pub(crate) fn of(who: &Principal, row: FindingRow) -> Self {
        let key = match row.dimension.as_deref() {
            Some("password") => redact::password(who, row.key),
            Some("credential") => redact::credential(who, row.key),
            _ => row.key,
        };
        let source_count = row.sources.len();
        Self {
            finding_id: row.finding_id,
            revision: row.revision,
            kind: row.kind,
            severity: row.severity,
            rule: row.rule,
            title: row.title,
            sensor: row.sensor,
            dimension: row.dimension,
            key,
            found_at: row.found_at,
            updated_at: row.updated_at,
            confidence: row.confidence,
            first_seen: row.first_seen,
            last_seen: row.last_seen,
            job_id: row.job_id,
            evidence: redact::evidence(who, row.evidence),
            sources: row.sources.into_iter().take(MOST_SOURCES).collect(),
            source_count,
            session_count: row.session_count,
            status: row.status,
            note: row.note,
            triaged_by: row.triaged_by,
            triaged_at: row.triaged_at,
        }
    }
}

/// A page of findings
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
pub struct FindingList {
    pub findings: Vec<Finding>,
    #[schema(required = true)]
    pub next_page_token: Option<String>,
}

impl Api {
    /// A page of findings, the last updated first. A key that is limited to sensors sees the findings about
    /// one of these alone.
    pub(crate) async fn findings(
        &self,
        who: &Principal,
        mut filter: FindingFilter,
        page: &Page,
    ) -> Result<FindingList, Problem> {
        filter.after = page.after().map(|key| read_key(key).ok_or_else(Page::wrong_token)).transpose()?;
        let mut connection = self.connection().await?;
        let limit = i64::from(page.page_size) + 1;
        let mut rows = statistics::findings::list(&mut connection, &filter, limit).await.map_err(failed)?;
        let more = rows.len() > page.page_size as usize;
        rows.truncate(page.page_size as usize);
        let next_page_token = rows.last().filter(|_| more).map(|row| token(&key(row)));
        let findings = rows.into_iter().map(|row| Finding::of(who, row)).collect();
        Ok(FindingList { findings, next_page_token })
    }
}

fn key(row: &FindingRow) -> String {
    format!("{}_{}", row.updated_at.timestamp_micros(), row.finding_id)
}

fn read_key(key: &str) -> Option<(DateTime<Utc>, Uuid)> {
    let (micros, id) = key.split_once('_')?;
    let at = DateTime::from_timestamp_micros(micros.parse().ok()?).filter(|&at| fields::is_time(at))?;
    Some((at, Uuid::try_parse(id).ok()?))
}
