//! Figures of a range, step by step.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use store::statistics::{self, Over, totals::Step};
use utoipa::ToSchema;
use web::Problem;

use crate::{Api, problem::failed};

/// Most steps of a timeline.
pub(crate) const MOST_STEPS: i64 = 500;
/// Steps that are chosen when the client names none, in seconds: 1 m, 5 m, 15 m, 1 h, 6 h, 1 d, 7 d, 30 d.
const STEPS: [i64; 8] = [60, 300, 900, 3_600, 21_600, 86_400, 604_800, 2_592_000];
/// Most steps when the client names none.
const DEFAULT_STEPS: i64 = 100;

/// Figures of a range, step by step
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
pub struct Timeline {
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
    /// Seconds of a step; the last one is shorter where the range is no multiple
    pub step_seconds: u64,
    /// The oldest first
    pub points: Vec<Point>,
}

/// Figures of one step
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
pub struct Point {
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
    pub events: i64,
    pub sessions: i64,
    pub logins_failed: i64,
    pub logins_succeeded: i64,
    pub commands: i64,
    pub downloads: i64,
    pub bytes: i64,
}

impl From<Step> for Point {
    fn from(step: Step) -> Self {
        Self {
            from: step.from_at,
            to: step.to_at,
            events: step.events,
            sessions: step.sessions,
            logins_failed: step.logins_failed,
            logins_succeeded: step.logins_succeeded,
            commands: step.commands,
            downloads: step.downloads,
            bytes: step.bytes,
        }
    }
}

/// The length of a step: the one that was asked for, or one that makes a readable chart. A problem when it
/// makes too many steps.
pub(crate) fn step(over: &Over, asked: Option<i64>) -> Result<Duration, Problem> {
    let length = (over.span.to - over.span.from).num_seconds();
    let seconds = asked.unwrap_or_else(|| {
        let fits = STEPS.into_iter().find(|step| length <= step * DEFAULT_STEPS);
        fits.unwrap_or(STEPS[STEPS.len() - 1])
    });
    if seconds < 60 || length > seconds.saturating_mul(MOST_STEPS) {
        let problem = format!("makes more than {MOST_STEPS} steps of the range");
        return Err(Problem::field("step", problem));
    }
    Ok(Duration::from_secs(seconds.unsigned_abs()))
}

impl Api {
    /// Figures of a range, step by step.
    pub(crate) async fn timeline(&self, over: &Over, asked: Option<i64>) -> Result<Timeline, Problem> {
        let step = step(over, asked)?;
        let mut connection = self.connection().await?;
        let steps = statistics::totals::timeline(&mut connection, over, step).await.map_err(failed)?;
        Ok(Timeline {
            from: over.span.from,
            to: over.span.to,
            step_seconds: step.as_secs(),
            points: steps.into_iter().map(Into::into).collect(),
        })
    }
}
