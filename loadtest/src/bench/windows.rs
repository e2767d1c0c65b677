//! Measures sliding windows over many sessions: the time of queries, the cost of late events, and bytes on
//! disk per key.
//!
//! Panes are computed and stored as the processor does it. The events themselves are not stored.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use events::{Dimension, Panes, Record, SensorDelta, SensorId};
use store::ingest::events::StoredEvent;

use super::{
    Args,
    report::{Row, quantile},
    site::Site,
};
use crate::generate::{Generator, Plan};

/// 2023-11-15, in microseconds since 1970.
const START: i64 = 1_700_006_400_000_000;
/// Approximate number of days over which the sessions are spread.
const DAYS: f64 = 90.0;
/// Approximate number of events of a generated session.
const EVENTS_A_SESSION: f64 = 6.9;
/// Events in one batch, as in the processor.
const BATCH: usize = 5_000;
const QUESTIONS: usize = 40;
const WINDOWS: [&str; 6] = ["5 minutes", "1 hour", "24 hours", "7 days", "30 days", "90 days"];
/// Number of late events, which are a week old.
const LATE: usize = 100_000;

struct Kind {
    what: &'static str,
    ask: &'static str,
    budget: &'static str,
    most: f64,
}

const KINDS: [Kind; 2] = [
    Kind {
        what: "window query, additive, p95",
        ask: "select events, sessions, logins_failed, logins_succeeded, commands, downloads, bytes, first_seen, last_seen
            from window_features($1::text::pane_dimension, $2, $3::text::interval, to_timestamp($4))",
        budget: "≤ 20 ms",
        most: 20.0,
    },
    Kind {
        what: "window query, distinct, p95",
        ask: "select distinct_src_ips, distinct_sensors, distinct_sessions, distinct_credentials
            from window_features($1::text::pane_dimension, $2, $3::text::interval, to_timestamp($4))",
        budget: "≤ 150 ms",
        most: 150.0,
    },
];

/// Adds the panes of `args.sessions` generated sessions, rolls them up, and runs the queries.
pub async fn measure(site: &Site, args: &Args) -> anyhow::Result<Vec<Row>> {
    let late = fill(site, args).await?;
    let rolled = roll_up(site).await?;
    let mut connection = site.store.connection().await?;
    store::unhurried(&mut connection).await?;
    sqlx::query("vacuum full feature_panes").execute(&mut *connection).await?;
    sqlx::query("analyze").execute(&mut *connection).await?;
    let mut rows = vec![Row::plain("roll-up", rolled, "rows/s")];
    rows.extend(size(&mut connection).await?);
    rows.extend(ask(&mut connection).await?);
    drop(connection);

    let started = Instant::now();
    for batch in late.chunks(BATCH) {
        add(site, batch).await?;
    }
    let seconds = started.elapsed().as_secs_f64();
    rows.push(
        Row::plain("100 000 week-old events: right after", seconds, "s").budget("≤ 60 s", seconds <= 60.0),
    );
    roll_up(site).await?;
    rows.push(Row::plain("100 000 week-old events: rolled up after", started.elapsed().as_secs_f64(), "s"));
    Ok(rows)
}

/// Queries every window for the hottest, a median and an absent key of some dimensions, at odd minutes of the
/// last days. Returns the slowest p95.
async fn ask(on: &mut store::Connection) -> anyhow::Result<Vec<Row>> {
    let newest: f64 =
        sqlx::query_scalar("select extract(epoch from max(last_seen))::float8 from feature_panes_minute")
            .fetch_one(&mut *on)
            .await?;
    let keys = keys(on).await?;
    let mut rows = Vec::new();
    for kind in KINDS {
        let mut worst = 0.0_f64;
        for window in WINDOWS {
            for (dimension, key) in &keys {
                let mut took = Vec::new();
                for n in 0..QUESTIONS {
                    let at = newest - n as f64 * 7_237.0;
                    let started = Instant::now();
                    sqlx::query(kind.ask)
                        .bind(dimension.name())
                        .bind(key)
                        .bind(window)
                        .bind(at)
                        .fetch_one(&mut *on)
                        .await?;
                    took.push(started.elapsed().as_secs_f64() * 1e3);
                }
                let p95 = quantile(took, 0.95).unwrap_or(f64::MAX);
                tracing::debug!(
                    "{}, {window}, {} {:?}: {p95:.2} ms",
                    kind.what,
                    dimension.name(),
                    boot::safe_up_to(key, 40)
                );
                worst = worst.max(p95);
            }
        }
        rows.push(
            Row::plain(kind.what, worst, "ms (slowest of 78 kinds)").budget(kind.budget, worst <= kind.most),
        );
    }
    Ok(rows)
}

async fn keys(on: &mut store::Connection) -> anyhow::Result<Vec<(Dimension, String)>> {
    let mut keys = vec![(Dimension::All, String::new())];
    for dimension in [Dimension::Sensor, Dimension::SrcIp, Dimension::Credential, Dimension::Command] {
        let found: Vec<String> = sqlx::query_scalar(
            "with k as (select key, sum(events) as n from feature_panes where dimension = $1::text::pane_dimension and not covered group by key)
            (select key from k order by n desc limit 1) union all (select key from k order by n offset (select count(*) / 2 from k) limit 1)",
        )
        .bind(dimension.name())
        .fetch_all(&mut *on)
        .await?;
        keys.extend(found.into_iter().chain(["never seen".to_owned()]).map(|key| (dimension, key)));
    }
    Ok(keys)
}

/// Bytes on disk, indexes included.
async fn size(on: &mut store::Connection) -> anyhow::Result<Vec<Row>> {
    let (bytes, keys): (i64, i64) = sqlx::query_as(
        "select (select sum(pg_total_relation_size(c.oid)) from pg_class c where relname ~ '^feature_panes_' and relkind = 'r')::int8,
            (select count(*) from (select distinct dimension, key from feature_panes) k)",
    )
    .fetch_one(on)
    .await?;
    Ok(vec![
        Row::plain("keys", keys as f64, ""),
        Row::plain("panes on disk, indexes included", bytes as f64 / keys as f64, "bytes a key"),
    ])
}

/// Adds the panes of all events except a week-old part, which is returned.
async fn fill(site: &Site, args: &Args) -> anyhow::Result<Vec<Record>> {
    let rate = args.sessions as f64 * EVENTS_A_SESSION / (DAYS * 86_400.0);
    let generator =
        Generator::new(Plan { seed: args.seed, sensors: 6, start: START, rate, ..Plan::default() });
    let names: Result<Vec<SensorId>, _> =
        (0..generator.sensors().len()).map(|n| format!("bench-{n}").parse()).collect();
    let names = names?;
    let late_from = (args.sessions as f64 * EVENTS_A_SESSION * (DAYS - 10.0) / DAYS) as usize;
    let (mut batch, mut late, mut sessions, mut events, mut rows) =
        (Vec::with_capacity(BATCH), Vec::with_capacity(LATE), 0, 0, 0);
    let started = Instant::now();
    for made in generator {
        let Ok(record) = Record::read(&names[made.sensor], &made.line) else { continue };
        sessions += usize::from(record.eventid == "cowrie.session.connect");
        events += 1;
        if events > late_from && late.len() < LATE {
            late.push(record);
            continue;
        }
        batch.push(record);
        if batch.len() == BATCH {
            rows += add(site, &batch).await?;
            batch.clear();
            if sessions >= args.sessions {
                break;
            }
        }
    }
    let a_second = events as f64 / started.elapsed().as_secs_f64();
    tracing::info!(
        "{events} events, {sessions} sessions: {:.2} rows of panes an event, {a_second:.0} events/s by one connection",
        rows as f64 / events as f64
    );
    Ok(late)
}

/// Adds one batch as the processor does. Returns its number of rows.
async fn add(site: &Site, batch: &[Record]) -> anyhow::Result<usize> {
    let day = |record: &Record| {
        processor::day(&StoredEvent { record: record.clone(), line: None, source: None, earlier: None })
    };
    site.store.open_days(&batch.iter().filter_map(day).collect()).await?;
    let mut panes = Panes::default();
    batch.iter().for_each(|record| panes.add(record));
    let panes = panes.into_sorted();
    let mut deltas = BTreeMap::<&SensorId, SensorDelta>::new();
    for record in batch {
        let delta = SensorDelta::of(record);
        deltas.entry(&record.sensor).and_modify(|sum| sum.merge(&delta)).or_insert(delta);
    }
    let mut transaction = site.store.begin().await?;
    store::windows::panes::add(&mut transaction, &panes).await?;
    store::ingest::sensors::merge(&mut transaction, &deltas.into_values().collect::<Vec<_>>()).await?;
    transaction.commit().await?;
    Ok(panes.len())
}

/// Rolls up everything that is over. Returns the merged rows per second.
async fn roll_up(site: &Site) -> anyhow::Result<f64> {
    let (started, mut taken) = (Instant::now(), 0);
    loop {
        let mut connection = site.store.connection().await?;
        let visits = store::windows::rollup::due_visits(&mut connection, Duration::ZERO).await?;
        let waiting: i64 =
            sqlx::query_scalar("select count(*) from pane_touches").fetch_one(&mut *connection).await?;
        let over: Vec<_> = visits.into_iter().filter(|visit| visit.over).collect();
        if over.is_empty() && waiting == 0 {
            return Ok(taken as f64 / started.elapsed().as_secs_f64());
        }
        for visit in over {
            loop {
                let mut transaction = site.store.begin().await?;
                let rows = store::windows::rollup::visit(&mut transaction, visit).await?;
                if rows == 0 {
                    store::windows::rollup::end_visit(&mut transaction, visit).await?;
                }
                transaction.commit().await?;
                taken += rows;
                if rows == 0 {
                    break;
                }
            }
        }
    }
}
