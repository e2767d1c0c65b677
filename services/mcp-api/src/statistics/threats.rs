//! Who attacks, with what, and what was found about it.

use chrono::{DateTime, Utc};
use events::Dimension;
use serde::Serialize;
use store::{
    statistics::{self, Over},
    windows::Measure,
};
use utoipa::ToSchema;
use web::Problem;

use super::top::{Top, top};
use crate::{Api, problem::failed};

/// Who attacks, with what, and what was found
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
pub struct Threats {
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
    /// Source addresses with most sessions
    pub src_ips: Top,
    /// Source networks (/24, /48) with most sessions
    pub networks: Top,
    /// Fingerprints of SSH clients with most events
    pub hassh: Top,
    /// Versions of clients with most events
    pub client_versions: Top,
    /// Findings that were new or changed in the range
    pub findings: Vec<FindingCount>,
}

/// Findings of a kind and severity
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct FindingCount {
    #[schema(example = "signal")]
    pub kind: String,
    #[schema(example = "high")]
    pub severity: String,
    pub findings: i64,
}

impl Api {
    /// Who attacks, with what, and what was found.
    pub(crate) async fn threats(&self, over: &Over, limit: u32) -> Result<Threats, Problem> {
        let mut connection = self.connection().await?;
        let on = &mut *connection;
        let src_ips = top(on, Dimension::SrcIp, Measure::Sessions, over, limit).await?;
        let networks = top(on, Dimension::SrcNet, Measure::Sessions, over, limit).await?;
        let hassh = top(on, Dimension::Hassh, Measure::Events, over, limit).await?;
        let client_versions = top(on, Dimension::ClientVersion, Measure::Events, over, limit).await?;
        let counts = statistics::findings::counts(on, over.span, over.sensors.as_deref()).await;
        let findings = counts.map_err(failed)?.into_iter();
        let findings = findings
            .map(|row| FindingCount { kind: row.kind, severity: row.severity, findings: row.findings })
            .collect();
        let (from, to) = (over.span.from, over.span.to);
        Ok(Threats { from, to, src_ips, networks, hassh, client_versions, findings })
    }
}
