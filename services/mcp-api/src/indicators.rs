//! What to block or to look for elsewhere: addresses, files, URLs and public keys, with a score and its reason.

use chrono::{DateTime, Utc};
use events::Dimension;
use serde::Serialize;
use store::{
    Connection,
    statistics::{
        self, Over,
        top::{KeyRow, Ranked, UrlRow},
    },
    windows::Measure,
};
use utoipa::ToSchema;
use web::{Page, Problem};

use crate::{Api, problem::failed};

/// Most indicators of each type: those with most activity.
const MOST: u32 = 1_000;
/// From this many failed logins on, an address guesses passwords.
const MANY_LOGINS: i64 = 10;

/// The types of indicators.
pub(crate) const TYPES: [&str; 4] = ["address", "file", "url", "key"];

/// A page of indicators
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
pub struct IndicatorList {
    pub indicators: Vec<Indicator>,
    #[schema(required = true)]
    pub next_page_token: Option<String>,
}

/// Something to block or to look for elsewhere
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
pub struct Indicator {
    /// address, file (SHA-256), url or key (fingerprint of an SSH public key)
    #[serde(rename = "type")]
    #[schema(example = "address")]
    pub kind: String,
    pub value: String,
    /// 0 to 100: the sum of what the reasons say
    #[schema(minimum = 0, maximum = 100)]
    pub score: u8,
    /// Why it has this score
    pub reasons: Vec<String>,
    pub events: i64,
    #[schema(required = true)]
    pub first_seen: Option<DateTime<Utc>>,
    #[schema(required = true)]
    pub last_seen: Option<DateTime<Utc>>,
    /// Seconds from when it was last seen to the end of the range
    #[schema(required = true)]
    pub age_seconds: Option<i64>,
}

/// Adds up the points of what holds.
fn score(points: &[(bool, u8, String)]) -> (u8, Vec<String>) {
    let holds = points.iter().filter(|(holds, _, _)| *holds);
    let score = holds.clone().fold(0_u8, |sum, (_, points, _)| sum.saturating_add(*points));
    (score.min(100), holds.map(|(_, points, why)| format!("{why} (+{points})")).collect())
}

fn address(row: Ranked) -> Indicator {
    let (score, reasons) = score(&[
        (true, 20, "reached a honeypot".into()),
        (row.logins_failed >= MANY_LOGINS, 20, format!("{} failed logins", row.logins_failed)),
        (row.logins_succeeded > 0, 20, format!("{} logins that succeeded", row.logins_succeeded)),
        (row.commands > 0, 20, format!("{} commands", row.commands)),
        (row.downloads > 0, 20, format!("{} downloads", row.downloads)),
    ]);
    indicator("address", row.key, (score, reasons), row.events, (row.first_seen, row.last_seen))
}

fn file(row: Ranked) -> Indicator {
    let scored = score(&[
        (true, 60, "brought to a honeypot".into()),
        (row.events > 1, 20, format!("{} times", row.events)),
    ]);
    indicator("file", row.key, scored, row.events, (row.first_seen, row.last_seen))
}

fn url(row: UrlRow) -> Indicator {
    let scored = score(&[
        (true, 50, "named by a download".into()),
        (row.files > 0, 20, format!("gave {} files", row.files)),
        (row.events > 1, 10, format!("{} times", row.events)),
    ]);
    indicator("url", row.url, scored, row.events, (Some(row.first_seen), Some(row.last_seen)))
}

fn key(row: KeyRow) -> Indicator {
    let scored = score(&[
        (true, 40, "offered to a honeypot".into()),
        (row.events > 1, 20, format!("{} times", row.events)),
    ]);
    indicator("key", row.fingerprint, scored, row.events, (Some(row.first_seen), Some(row.last_seen)))
}

fn indicator(
    kind: &str,
    value: String,
    (score, reasons): (u8, Vec<String>),
    events: i64,
    (first_seen, last_seen): (Option<DateTime<Utc>>, Option<DateTime<Utc>>),
) -> Indicator {
    let kind = kind.to_owned();
    Indicator { kind, value, score, reasons, events, first_seen, last_seen, age_seconds: None }
}

impl Api {
    /// A page of indicators, the highest score first.
    pub(crate) async fn indicators(
        &self,
        over: &Over,
        types: &[String],
        lowest: u8,
        page: &Page,
    ) -> Result<IndicatorList, Problem> {
        let wanted = |kind: &str| types.is_empty() || types.iter().any(|one| one == kind);
        let mut connection = self.connection().await?;
        let on = &mut *connection;
        let mut all = Vec::new();
        if wanted("address") {
            let rows = ranked(on, Dimension::SrcIp, Measure::Sessions, over).await?;
            all.extend(rows.into_iter().map(address));
        }
        if wanted("file") {
            let rows = ranked(on, Dimension::Download, Measure::Events, over).await?;
            all.extend(rows.into_iter().map(file));
        }
        if wanted("url") {
            let rows = statistics::top::urls(on, over, MOST).await.map_err(failed)?;
            all.extend(rows.into_iter().map(url));
        }
        if wanted("key") {
            let rows = statistics::top::keys(on, over, MOST).await.map_err(failed)?;
            all.extend(rows.into_iter().map(key));
        }
        all.retain(|one| one.score >= lowest);
        for one in &mut all {
            one.age_seconds = one.last_seen.map(|seen| (over.span.to - seen).num_seconds());
        }
        let place = |one: &Indicator| format!("{:03} {} {}", 100 - one.score.min(100), one.kind, one.value);
        let (indicators, next_page_token) = page.cut(all, place);
        Ok(IndicatorList { indicators, next_page_token })
    }
}

async fn ranked(
    on: &mut Connection,
    dimension: Dimension,
    measure: Measure,
    over: &Over,
) -> Result<Vec<Ranked>, Problem> {
    let rows = match over.sensors {
        None => statistics::top::top(on, dimension, measure, over.span, MOST).await,
        Some(_) => statistics::top::top_of_sensors(on, dimension, over, MOST).await,
    };
    rows.map_err(failed)
}
