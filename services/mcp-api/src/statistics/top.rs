//! Keys with most of a measure.

use chrono::{DateTime, Utc};
use events::Dimension;
use serde::Serialize;
use store::{
    Connection,
    statistics::{Over, top::Ranked},
    windows::Measure,
};
use utoipa::ToSchema;
use web::Problem;

use crate::problem::failed;

/// Keys of a top list when the client does not say.
pub(crate) const DEFAULT_LIMIT: u32 = 10;

/// Keys with most of a measure
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
pub struct Top {
    /// Number of keys that have any of it
    pub total: i64,
    /// The most first
    pub top: Vec<TopEntry>,
}

/// What a range adds up to for a key
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
pub struct TopEntry {
    /// As attackers typed or sent it, at most 120 characters
    pub key: String,
    /// Log lines that carry the key
    pub events: i64,
    pub sessions: i64,
    pub logins_failed: i64,
    pub logins_succeeded: i64,
    pub commands: i64,
    pub downloads: i64,
    #[schema(required = true)]
    pub first_seen: Option<DateTime<Utc>>,
    #[schema(required = true)]
    pub last_seen: Option<DateTime<Utc>>,
}

impl From<Vec<Ranked>> for Top {
    fn from(rows: Vec<Ranked>) -> Self {
        let total = rows.first().map_or(0, |row| row.total);
        let entry = |row: Ranked| TopEntry {
            key: row.key,
            events: row.events,
            sessions: row.sessions,
            logins_failed: row.logins_failed,
            logins_succeeded: row.logins_succeeded,
            commands: row.commands,
            downloads: row.downloads,
            first_seen: row.first_seen,
            last_seen: row.last_seen,
        };
        Self { total, top: rows.into_iter().map(entry).collect() }
    }
}

impl Top {
    /// The same list with other keys: without passwords.
    pub(crate) fn with_keys(mut self, change: impl Fn(String) -> String) -> Self {
        for entry in &mut self.top {
            entry.key = change(std::mem::take(&mut entry.key));
        }
        self
    }
}

/// The keys with most of a measure; of single sensors from sessions and side tables.
pub(crate) async fn top(
    on: &mut Connection,
    dimension: Dimension,
    measure: Measure,
    over: &Over,
    limit: u32,
) -> Result<Top, Problem> {
    let rows = match over.sensors {
        None => store::statistics::top::top(on, dimension, measure, over.span, limit).await,
        Some(_) => store::statistics::top::top_of_sensors(on, dimension, over, limit).await,
    };
    rows.map(Into::into).map_err(failed)
}
