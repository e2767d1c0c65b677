//! The table `feature_panes`: rows that add up to windows. They are only ever added here, with COPY.

use chrono::{DateTime, Utc};
use events::{Dimension, MINUTE, Pane, PaneKey, Sketch};
use sqlx::PgConnection;

use crate::{
    Failure,
    copy::{self, field},
};

/// How long a pane is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Grain {
    Minute,
    Hour,
    Day,
}

impl Grain {
    /// Its name in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    /// Its length in microseconds.
    pub fn length(self) -> i64 {
        match self {
            Self::Minute => MINUTE,
            Self::Hour => 60 * MINUTE,
            Self::Day => 24 * 60 * MINUTE,
        }
    }
}

/// A row.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the table documents each column")]
pub struct PaneRow<'a> {
    pub dimension: Dimension,
    pub key: &'a str,
    pub grain: Grain,
    /// Microseconds since 1970.
    pub at: i64,
    pub covered: bool,
    pub pane: &'a Pane,
}

/// Adds what the panes of new events hold, and notes their hours for the roll-up.
pub async fn add_panes(on: &mut PgConnection, panes: &[(PaneKey<'_>, Pane)]) -> Result<(), Failure> {
    if panes.is_empty() {
        return Ok(());
    }
    let rows = panes.iter().map(|(PaneKey { dimension, key, minute }, pane)| PaneRow {
        dimension: *dimension,
        key,
        grain: Grain::Minute,
        at: minute * MINUTE,
        covered: false,
        pane,
    });
    insert_panes(on, Grain::Minute, rows).await?;
    let mut hours: Vec<_> = panes.iter().filter(|(key, _)| key.dimension == Dimension::All).map(|(key, _)| key.minute.div_euclid(60)).collect();
    hours.dedup();
    let hours: Vec<DateTime<Utc>> = hours.into_iter().filter_map(|hour| DateTime::from_timestamp(hour * 3_600, 0)).collect();
    sqlx::query!("insert into pane_touches (hours) values ($1)", &hours).execute(on).await?;
    Ok(())
}

/// Adds rows of one grain.
pub async fn insert_panes<'a>(on: &mut PgConnection, grain: Grain, rows: impl Iterator<Item = PaneRow<'a>>) -> Result<(), Failure> {
    let statement = format!(
        "copy feature_panes_{} (at, first_seen, last_seen, bytes, events, sessions, logins_failed, logins_succeeded, commands, downloads,
            dimension, grain, covered, key, src_ips, sensors, session_ids, credentials) from stdin (format binary)",
        grain.name()
    );
    let rows = rows.map(|row| {
        if row.pane.events > i64::from(i32::MAX) {
            return Err(Failure::Reject(anyhow::anyhow!("a pane of more than {} events: {} {:?}", i32::MAX, row.dimension.name(), row.key)));
        }
        Ok(row)
    });
    copy::rows(on, &statement, rows, |out, row| encode(out, &row)).await
}

/// Microseconds from 1970 to 2000, where Postgres counts from.
const POSTGRES_EPOCH: i64 = 946_684_800_000_000;

/// A row in the binary format of COPY.
fn encode(out: &mut Vec<u8>, row: &PaneRow<'_>) {
    let PaneRow { pane, dimension, .. } = row;
    out.extend(18_i16.to_be_bytes());
    for time in [row.at, pane.first_seen, pane.last_seen] {
        field(out, &(time - POSTGRES_EPOCH).to_be_bytes());
    }
    field(out, &pane.bytes.to_be_bytes());
    for count in [pane.events, pane.sessions, pane.logins_failed, pane.logins_succeeded, pane.commands, pane.downloads] {
        field(out, &(count as i32).to_be_bytes());
    }
    field(out, dimension.name().as_bytes());
    field(out, row.grain.name().as_bytes());
    field(out, &[u8::from(row.covered)]);
    field(out, row.key.as_bytes());
    for (sketch, implied) in [
        (&pane.src_ips, *dimension == Dimension::SrcIp),
        (&pane.sensors, *dimension == Dimension::Sensor),
        (&pane.session_ids, false),
        (&pane.credentials, *dimension == Dimension::Credential),
    ] {
        array(out, sketch, implied);
    }
}

/// A sketch as `bigint[]`; null when it is empty or implied.
fn array(out: &mut Vec<u8>, sketch: &Sketch, implied: bool) {
    let hashes = if implied { Vec::new() } else { sketch.clone().into_hashes() };
    if hashes.is_empty() {
        copy::null(out);
    } else {
        copy::array(out, copy::INT8, hashes.iter().map(|hash| hash.to_be_bytes()));
    }
}
