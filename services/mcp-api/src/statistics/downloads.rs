//! Files that came in.

use chrono::{DateTime, Utc};
use events::Dimension;
use serde::Serialize;
use store::{
    statistics::{self, Over, top::UrlRow},
    windows::Measure,
};
use utoipa::ToSchema;
use web::Problem;

use super::top::{Top, top};
use crate::{Api, problem::failed};

/// Files that came in
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
pub struct Downloads {
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
    pub downloads: i64,
    pub uploads: i64,
    /// Downloads that failed
    pub failed: i64,
    /// Distinct SHA-256
    pub distinct_files: i64,
    pub distinct_urls: i64,
    /// By SHA-256
    pub files: Top,
    pub urls: Vec<DownloadUrl>,
}

/// A URL that files came from
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
pub struct DownloadUrl {
    pub url: String,
    /// Distinct files
    pub files: i64,
    pub events: i64,
    pub first_seen: DateTime<Utc>,
    pub last_seen: DateTime<Utc>,
}

impl From<UrlRow> for DownloadUrl {
    fn from(row: UrlRow) -> Self {
        let UrlRow { url, files, events, first_seen, last_seen } = row;
        Self { url, files, events, first_seen, last_seen }
    }
}

impl Api {
    /// Files that came in.
    pub(crate) async fn downloads(&self, over: &Over, limit: u32) -> Result<Downloads, Problem> {
        let mut connection = self.connection().await?;
        let on = &mut *connection;
        let counts = statistics::top::files(on, over).await.map_err(failed)?;
        let files = top(on, Dimension::Download, Measure::Events, over, limit).await?;
        let urls = statistics::top::urls(on, over, limit).await.map_err(failed)?;
        Ok(Downloads {
            from: over.span.from,
            to: over.span.to,
            downloads: counts.downloads,
            uploads: counts.uploads,
            failed: counts.failed,
            distinct_files: counts.distinct_files,
            distinct_urls: counts.distinct_urls,
            files,
            urls: urls.into_iter().map(Into::into).collect(),
        })
    }
}
