//! The table `feature_panes`, whose rows add up to windows. This file only inserts rows.

use chrono::{DateTime, Utc};
use events::{Dimension, MINUTE, Pane, PaneKey, Sketch};
use sqlx::{
    Encode, PgConnection, Postgres, Type,
    encode::IsNull,
    error::BoxDynError,
    postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo},
};

use crate::Failure;

/// Most rows in one statement: a sketch may have 8 KiB, and a parameter is held in memory.
const AT_ONCE: usize = 5_000;

/// The length of a pane.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Grain {
    Minute,
    Hour,
    Day,
}

impl Grain {
    /// The name of the grain in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    pub fn length(self) -> i64 {
        match self {
            Self::Minute => MINUTE,
            Self::Hour => 60 * MINUTE,
            Self::Day => 24 * 60 * MINUTE,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct PaneRow<'a> {
    pub dimension: Dimension,
    pub key: &'a str,
    pub grain: Grain,
    /// Microseconds since 1970.
    pub at: i64,
    pub covered: bool,
    pub pane: &'a Pane,
}

/// Adds the panes of new events, and records their hours for the roll-up.
pub async fn add(on: &mut PgConnection, panes: &[(PaneKey<'_>, Pane)]) -> Result<(), Failure> {
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
    insert(on, rows).await?;
    let mut hours: Vec<_> = panes
        .iter()
        .filter(|(key, _)| key.dimension == Dimension::All)
        .map(|(key, _)| key.minute.div_euclid(60))
        .collect();
    hours.dedup();
    let hours: Vec<DateTime<Utc>> =
        hours.into_iter().filter_map(|hour| DateTime::from_timestamp(hour * 3_600, 0)).collect();
    sqlx::query!("insert into pane_touches (hours) values ($1)", &hours).execute(on).await?;
    Ok(())
}

/// Inserts rows. They are sent as one array of the table's row type. This costs Postgres hardly more than
/// COPY; a COPY would wait 40 ms for its end when the client's socket delays small packets (sqlx 0.9.0 does
/// not set TCP_NODELAY).
pub async fn insert<'a>(
    on: &mut PgConnection,
    rows: impl Iterator<Item = PaneRow<'a>>,
) -> Result<(), Failure> {
    let mut rows = rows.map(Record::of);
    loop {
        let some = rows.by_ref().take(AT_ONCE).collect::<Result<Vec<_>, _>>()?;
        if some.is_empty() {
            return Ok(());
        }
        sqlx::query!(
            "insert into feature_panes select * from unnest($1::feature_panes[])",
            &some as &[Record<'_>]
        )
        .execute(&mut *on)
        .await?;
    }
}

/// A row, with its columns in the order of the table. Before you add a column, give this row a type of its
/// own: an older processor fails, and waits, when the row type of the table has another number of columns.
#[derive(sqlx::Encode)]
struct Record<'a> {
    at: Micros,
    first_seen: Micros,
    last_seen: Micros,
    bytes: i64,
    events: i32,
    sessions: i32,
    logins_failed: i32,
    logins_succeeded: i32,
    commands: i32,
    downloads: i32,
    dimension: PaneDimension,
    grain: Grain,
    covered: bool,
    key: &'a str,
    src_ips: Option<Vec<i64>>,
    sensors: Option<Vec<i64>>,
    session_ids: Option<Vec<i64>>,
    credentials: Option<Vec<i64>>,
}

impl<'a> Record<'a> {
    fn of(row: PaneRow<'a>) -> Result<Self, Failure> {
        let PaneRow { dimension, key, grain, at, covered, pane } = row;
        let count = |count: i64| {
            let too_many = |_| {
                Failure::Reject(anyhow::anyhow!(
                    "a pane of more than {} events: {} {key:?}",
                    i32::MAX,
                    dimension.name()
                ))
            };
            i32::try_from(count).map_err(too_many)
        };
        Ok(Self {
            at: Micros(at),
            first_seen: Micros(pane.first_seen),
            last_seen: Micros(pane.last_seen),
            bytes: pane.bytes,
            events: count(pane.events)?,
            sessions: count(pane.sessions)?,
            logins_failed: count(pane.logins_failed)?,
            logins_succeeded: count(pane.logins_succeeded)?,
            commands: count(pane.commands)?,
            downloads: count(pane.downloads)?,
            dimension: PaneDimension(dimension),
            grain,
            covered,
            key,
            src_ips: hashes(&pane.src_ips, dimension == Dimension::SrcIp),
            sensors: hashes(&pane.sensors, dimension == Dimension::Sensor),
            session_ids: hashes(&pane.session_ids, false),
            credentials: hashes(&pane.credentials, dimension == Dimension::Credential),
        })
    }
}

/// The hashes of a sketch; null when it is empty or implied by the dimension.
fn hashes(sketch: &Sketch, implied: bool) -> Option<Vec<i64>> {
    let hashes = if implied { Vec::new() } else { sketch.clone().into_hashes() };
    Some(hashes).filter(|hashes| !hashes.is_empty())
}

impl Type<Postgres> for Record<'_> {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_name("feature_panes")
    }
}

impl PgHasArrayType for Record<'_> {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::array_of("feature_panes")
    }
}

/// A `timestamptz` in microseconds since 1970.
struct Micros(i64);

/// Microseconds from 1970 to 2000, where Postgres counts from.
const POSTGRES_EPOCH: i64 = 946_684_800_000_000;

impl Type<Postgres> for Micros {
    fn type_info() -> PgTypeInfo {
        <DateTime<Utc> as Type<Postgres>>::type_info()
    }
}

impl Encode<'_, Postgres> for Micros {
    fn encode_by_ref(&self, out: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        out.extend((self.0 - POSTGRES_EPOCH).to_be_bytes());
        Ok(IsNull::No)
    }
}

struct PaneDimension(Dimension);

impl Type<Postgres> for PaneDimension {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_name("pane_dimension")
    }
}

impl Encode<'_, Postgres> for PaneDimension {
    fn encode_by_ref(&self, out: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        out.extend(self.0.name().as_bytes());
        Ok(IsNull::No)
    }
}

impl Type<Postgres> for Grain {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_name("pane_grain")
    }
}

impl Encode<'_, Postgres> for Grain {
    fn encode_by_ref(&self, out: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        out.extend(self.name().as_bytes());
        Ok(IsNull::No)
    }
}
