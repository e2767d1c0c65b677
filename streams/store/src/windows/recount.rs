//! Computes panes from stored events: for days before panes were introduced, and for the recount of `verify`.

use std::collections::BTreeMap;

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use events::{Dimension, MINUTE, Pane, PaneKey, Panes, Record, SensorId};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    Failure,
    windows::{panes::Grain, rollup},
};

/// Events read by one query.
const EVENTS_AT_ONCE: i64 = 5_000;

/// Adds the panes of the newest day without panes. Call it in a transaction. Returns `None` when no day is
/// left.
pub async fn backfill_day(on: &mut PgConnection) -> Result<Option<NaiveDate>, Failure> {
    let found = sqlx::query!("select day, before from pane_backfill order by day desc limit 1 for update")
        .fetch_optional(&mut *on)
        .await?;
    let Some(row) = found else { return Ok(None) };
    sqlx::query!("select panes_add_day($1)", row.day).fetch_one(&mut *on).await?;
    let mut last = None;
    while let Some(records) = records(on, row.day, Some(row.before), &mut last).await? {
        let mut panes = Panes::default();
        records.iter().for_each(|record| panes.add(record));
        crate::windows::panes::add(on, &panes.into_sorted()).await?;
    }
    sqlx::query!("delete from pane_backfill where day = $1", row.day).execute(on).await?;
    Ok(Some(row.day))
}

/// Number of days whose panes are still missing.
pub async fn backfill_left(on: &mut PgConnection) -> Result<i64, Failure> {
    Ok(sqlx::query_scalar!(r#"select count(*) as "count!" from pane_backfill"#).fetch_one(on).await?)
}

/// Returns the days whose events are stored and whose panes are complete.
pub async fn recountable_days(on: &mut PgConnection) -> Result<Vec<NaiveDate>, Failure> {
    let days = sqlx::query_scalar!(
        r#"select to_date(right(relname, 8), 'YYYYMMDD') as "day!" from pg_inherits join pg_class c on c.oid = inhrelid
        where inhparent = 'events'::regclass and relname ~ '^events_[0-9]{8}$'
        except select day from pane_backfill except select day from sealed_days order by 1"#
    )
    .fetch_all(on)
    .await?;
    Ok(days)
}

/// Compares the panes of a day with a recount of its events. Call it in a repeatable-read transaction.
pub async fn differences(on: &mut PgConnection, day: NaiveDate) -> Result<Vec<String>, Failure> {
    let mut counted = BTreeMap::<Place, Pane>::new();
    let mut last = None;
    while let Some(records) = records(on, day, None, &mut last).await? {
        let mut panes = Panes::default();
        records.iter().for_each(|record| panes.add(record));
        for (PaneKey { dimension, key, minute }, pane) in panes.into_sorted() {
            counted.entry((dimension, key.into_owned(), minute * MINUTE)).or_default().merge(&pane);
        }
    }
    let start = day.and_time(NaiveTime::MIN).and_utc();
    let minutes_dropped = dropped_before(on, Grain::Minute).await?.is_some_and(|before| start < before);
    let hours_dropped = dropped_before(on, Grain::Hour).await?.is_some_and(|before| start < before);
    let stored = rollup::stored(on, start, start + Days::new(1)).await?;

    let mut differences = Vec::new();
    // The totals of the whole day: rows that no coarser row covers.
    let top = stored
        .iter()
        .filter(|row| !row.covered)
        .map(|row| ((row.place.0, row.place.1.clone(), 0), &row.pane));
    compare(
        "day",
        sum(counted.iter().map(|((d, key, _), pane)| ((*d, key.clone(), 0), pane))),
        sum(top),
        &mut differences,
    );
    // Each finer grain: every event must be counted in its own hour, and in its own minute, unless coarser
    // rows cover them.
    let hour = Grain::Hour.length();
    if !minutes_dropped {
        let minutes =
            stored.iter().filter(|row| row.grain == Grain::Minute).map(|row| (row.place.clone(), &row.pane));
        compare("minute", counted, sum(minutes), &mut differences);
    }
    if !hours_dropped {
        let of_hours = |covered: bool| {
            sum(stored
                .iter()
                .filter(|row| row.grain == Grain::Hour && (!covered || row.covered))
                .map(|row| ((row.place.0, row.place.1.clone(), 0), &row.pane)))
        };
        let days = sum(stored
            .iter()
            .filter(|row| row.grain == Grain::Day)
            .map(|row| ((row.place.0, row.place.1.clone(), 0), &row.pane)));
        compare("covered hours", days, of_hours(true), &mut differences);
        if !minutes_dropped {
            let covered = |row: &&rollup::Stored| row.grain == Grain::Minute && row.covered;
            let minutes = stored.iter().filter(covered).map(|row| {
                ((row.place.0, row.place.1.clone(), row.place.2.div_euclid(hour) * hour), &row.pane)
            });
            let hours = stored
                .iter()
                .filter(|row| row.grain == Grain::Hour)
                .map(|row| (row.place.clone(), &row.pane));
            compare("covered minutes", sum(hours), sum(minutes), &mut differences);
        }
    }
    Ok(differences)
}

type Place = (Dimension, String, i64);

fn sum<'a>(panes: impl Iterator<Item = (Place, &'a Pane)>) -> BTreeMap<Place, Pane> {
    let mut sums = BTreeMap::<Place, Pane>::new();
    for (place, pane) in panes {
        sums.entry(place).or_default().merge(pane);
    }
    sums
}

fn compare(
    what: &str,
    expected: BTreeMap<Place, Pane>,
    mut found: BTreeMap<Place, Pane>,
    differences: &mut Vec<String>,
) {
    let name = |(dimension, key, at): &Place| {
        let at = DateTime::from_timestamp_micros(*at)
            .filter(|at| at.timestamp() != 0)
            .map_or_else(String::new, |at| format!(" at {at}"));
        format!("window {} {key:?}, {what}{at}", dimension.name())
    };
    for (place, expected) in expected {
        match found.remove(&place) {
            None => differences.push(format!(
                "{}: is not there, recounted {} events",
                name(&place),
                expected.events
            )),
            Some(found) => {
                for (measure, is, should) in expected.differences(place.0, &found) {
                    differences.push(format!("{}: {measure} is {is}, recounted {should}", name(&place)));
                }
            }
        }
    }
    differences.extend(
        found.iter().map(|(place, pane)| format!("{}: {} events, recounted none", name(place), pane.events)),
    );
}

async fn dropped_before(on: &mut PgConnection, grain: Grain) -> Result<Option<DateTime<Utc>>, Failure> {
    let before = sqlx::query_scalar!(
        "select dropped_before from pane_retention where grain = $1::text::pane_grain",
        grain.name()
    );
    Ok(before.fetch_optional(on).await?)
}

/// Returns the next events of a day after `last` that were ingested before a point in time; `None` at the
/// end.
async fn records(
    on: &mut PgConnection,
    day: NaiveDate,
    before: Option<DateTime<Utc>>,
    last: &mut Option<(DateTime<Utc>, Uuid)>,
) -> Result<Option<Vec<Record>>, Failure> {
    let start = day.and_time(NaiveTime::MIN).and_utc();
    let (from, after) = last.unwrap_or((start, Uuid::nil()));
    let rows = sqlx::query!(
        r#"select ts, event_id, sensor, length, payload::text as "payload!", line from events
        where ts >= $1 and ts < $2 and (ts, event_id) > ($1, $3) and ($4::timestamptz is null or ingested_at < $4)
        order by ts, event_id limit $5"#,
        from,
        start + Days::new(1),
        after,
        before,
        EVENTS_AT_ONCE,
    )
    .fetch_all(on)
    .await?;
    let Some(end) = rows.last() else { return Ok(None) };
    *last = Some((end.ts, end.event_id));
    let mut records = Vec::with_capacity(rows.len());
    for row in rows {
        let line = row.line.unwrap_or_else(|| row.payload.into_bytes());
        // A stored payload that cannot be read as an event was tampered with; `verify` reports it.
        let Some(mut record) =
            row.sensor.parse().ok().and_then(|sensor: SensorId| Record::read(&sensor, &line).ok())
        else {
            continue;
        };
        record.length = row.length as u64;
        records.push(record);
    }
    Ok(Some(records))
}
