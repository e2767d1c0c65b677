//! What sessions add up to.

use chrono::{DateTime, Utc};
use serde::Serialize;
use store::statistics::{self, Over};
use utoipa::ToSchema;
use web::Problem;

use crate::{Api, problem::failed};

/// What the sessions add up to that began in a range
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
pub struct SessionStatistics {
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
    pub sessions: i64,
    /// Not ended yet
    pub open: i64,
    /// Ended by their session.closed
    pub closed: i64,
    /// Ended by an hour without events
    pub idle: i64,
    pub ssh: i64,
    pub telnet: i64,
    pub with_login_attempts: i64,
    pub with_login_success: i64,
    pub with_commands: i64,
    pub with_downloads: i64,
    pub with_forwards: i64,
    pub commands: i64,
    /// Exact
    pub distinct_src_ips: i64,
    #[schema(required = true)]
    pub average_duration_ms: Option<f64>,
    #[schema(required = true)]
    pub median_duration_ms: Option<f64>,
    #[schema(required = true)]
    pub p95_duration_ms: Option<f64>,
    #[schema(required = true)]
    pub longest_duration_ms: Option<i64>,
}

impl Api {
    /// What the sessions add up to that began in a range.
    pub(crate) async fn session_statistics(&self, over: &Over) -> Result<SessionStatistics, Problem> {
        let mut connection = self.connection().await?;
        let row = statistics::sessions::totals(&mut connection, over).await.map_err(failed)?;
        Ok(SessionStatistics {
            from: over.span.from,
            to: over.span.to,
            sessions: row.sessions,
            open: row.open,
            closed: row.closed,
            idle: row.idle,
            ssh: row.ssh,
            telnet: row.telnet,
            with_login_attempts: row.with_login_attempts,
            with_login_success: row.with_login_success,
            with_commands: row.with_commands,
            with_downloads: row.with_downloads,
            with_forwards: row.with_forwards,
            commands: row.commands,
            distinct_src_ips: row.distinct_src_ips,
            average_duration_ms: row.average_duration_ms,
            median_duration_ms: row.median_duration_ms,
            p95_duration_ms: row.p95_duration_ms,
            longest_duration_ms: row.longest_duration_ms,
        })
    }
}
