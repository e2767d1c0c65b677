//! Sliding windows over many sessions: what a question costs, and what a key costs on disk.

use std::time::{Duration, Instant};

use events::{MINUTE, Panes, Record, SensorDelta, SensorId};

use store::StoredEvent;

use super::{
    Args,
    report::{Row, quantile},
    site::Site,
};
use crate::generate::{Generator, Plan};

/// Days over which the sessions are spread.
const DAYS: i64 = 90;
/// Events in one batch, as the processor's.
const BATCH: usize = 5_000;
/// Questions of each kind.
const QUESTIONS: usize = 40;
const WINDOWS: [&str; 6] = ["5 minutes", "1 hour", "24 hours", "7 days", "30 days", "90 days"];

struct Kind {
    what: &'static str,
    ask: &'static str,
    budget: &'static str,
    most: f64,
}

const KINDS: [Kind; 2] = [
    Kind {
        what: "window query, additive, slowest p95",
        ask: "select events, sessions, logins_failed, bytes from window_features($1::text::pane_dimension, $2, $3::text::interval, to_timestamp($4))",
        budget: "≤ 20 ms",
        most: 20.0,
    },
    Kind {
        what: "window query, distinct, slowest p95",
        ask: "select distinct_src_ips, distinct_sensors, distinct_sessions, distinct_credentials
            from window_features($1::text::pane_dimension, $2, $3::text::interval, to_timestamp($4))",
        budget: "≤ 150 ms",
        most: 150.0,
    },
];

/// Fills the panes of `args.sessions` made sessions, rolls them up, and asks.
pub async fn measure(site: &Site, args: &Args) -> anyhow::Result<Vec<Row>> {
    let filled = fill(site, args).await?;
    roll_up(site).await?;
    let mut connection = site.store.connection().await?;
    sqlx::query("vacuum analyze").execute(&mut *connection).await?;
    let mut rows = Vec::new();
    let (newest,): (f64,) = sqlx::query_as("select extract(epoch from max(last_seen))::float8 from feature_panes_day").fetch_one(&mut *connection).await?;
    for kind in KINDS {
        let mut worst = 0.0_f64;
        for window in WINDOWS {
            for (dimension, key) in keys(&mut connection).await? {
                let mut took = Vec::new();
                for n in 0..QUESTIONS {
                    // Odd minutes of the last day.
                    let at = newest - (n as f64) * 1_237.0;
                    let started = Instant::now();
                    sqlx::query(kind.ask).bind(&dimension).bind(&key).bind(window).bind(at).fetch_one(&mut *connection).await?;
                    took.push(started.elapsed().as_secs_f64() * 1e3);
                }
                let p95 = quantile(took, 0.95).unwrap_or(f64::MAX);
                tracing::info!("{}, {window}, {dimension} {:?}: p95 {p95:.2} ms", kind.what, boot::safe_up_to(&key, 40));
                worst = worst.max(p95);
            }
        }
        rows.push(Row::plain(kind.what, worst, "ms").budget(kind.budget, worst <= kind.most));
    }
    drop(filled);
    Ok(rows)
}

/// The hottest, a median and an absent key of some dimensions.
async fn keys(on: &mut store::Connection) -> anyhow::Result<Vec<(String, String)>> {
    let mut keys = vec![("all".to_owned(), String::new())];
    for dimension in ["sensor", "src_ip", "credential", "command"] {
        let found: Vec<(String,)> = sqlx::query_as(
            "with k as (select key, sum(events) as n from feature_panes where dimension = $1::text::pane_dimension and not covered group by key)
            (select key from k order by n desc limit 1) union all (select key from k order by n offset (select count(*) / 2 from k) limit 1)",
        )
        .bind(dimension)
        .fetch_all(&mut *on)
        .await?;
        keys.extend(found.into_iter().map(|(key,)| (dimension.to_owned(), key)));
        keys.push((dimension.to_owned(), "never seen".to_owned()));
    }
    Ok(keys)
}

async fn fill(site: &Site, args: &Args) -> anyhow::Result<usize> {
    let start = 1_700_006_400 * 1_000_000_i64;
    let plan = Plan { seed: args.seed, sensors: 6, start, rate: args.sessions as f64 * 9.0 / (DAYS as f64 * 86_400.0), ..Plan::default() };
    let generator = Generator::new(plan);
    let sensors: Vec<SensorId> =
        (0..generator.sensors().len()).map(|n| format!("bench-{n}").parse()).collect::<Result<_, _>>().map_err(|e| anyhow::anyhow!("{e}"))?;
    let (mut batch, mut sessions, mut events, mut rows) = (Vec::new(), 0, 0, 0);
    let started = Instant::now();
    for made in generator {
        let Ok(record) = Record::read(&sensors[made.sensor], &made.line) else { continue };
        sessions += usize::from(record.eventid == "cowrie.session.connect");
        events += 1;
        batch.push(record);
        if batch.len() == BATCH {
            rows += store(site, &batch).await?;
            batch.clear();
            if sessions >= args.sessions {
                break;
            }
        }
    }
    let days = batch.len();
    tracing::info!(
        "{events} events, {sessions} sessions, {rows} rows of panes ({:.2} an event), {:.0} events/s; {days}",
        rows as f64 / events as f64,
        events as f64 / started.elapsed().as_secs_f64()
    );
    Ok(rows)
}

async fn store(site: &Site, batch: &[Record]) -> anyhow::Result<usize> {
    let stored = |record: &Record| StoredEvent { record: record.clone(), line: None, source: None };
    site.store.open_days(&batch.iter().filter_map(|record| processor::day(&stored(record))).collect()).await?;
    let mut panes = Panes::default();
    batch.iter().for_each(|record| panes.add(record));
    let panes = panes.into_sorted();
    let mut transaction = site.store.begin().await?;
    store::add_panes(&mut transaction, &panes).await?;
    let mut deltas = std::collections::BTreeMap::<&SensorId, SensorDelta>::new();
    for record in batch {
        let delta = SensorDelta::of(record);
        deltas.entry(&record.sensor).and_modify(|sum| sum.merge(&delta)).or_insert(delta);
    }
    store::merge_sensors(&mut transaction, &deltas.into_values().collect::<Vec<_>>()).await?;
    transaction.commit().await?;
    let _ = MINUTE;
    Ok(panes.len())
}

async fn roll_up(site: &Site) -> anyhow::Result<()> {
    let started = Instant::now();
    let mut taken = 0;
    loop {
        let mut connection = site.store.connection().await?;
        let visits = store::due_visits(&mut connection, Duration::ZERO).await?;
        let over: Vec<_> = visits.into_iter().filter(|v| v.over).collect();
        if over.is_empty() {
            let waiting: i64 = sqlx::query_scalar("select count(*) from pane_touches").fetch_one(&mut *connection).await?;
            let young: i64 =
                sqlx::query_scalar("select count(*) from pane_visits where touched_at > now() - interval '11 seconds'").fetch_one(&mut *connection).await?;
            if waiting == 0 && young == 0 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
        for visit in over {
            let mut transaction = site.store.begin().await?;
            loop {
                let n = store::visit(&mut transaction, visit).await?;
                taken += n;
                if n == 0 {
                    break;
                }
            }
            store::end_visit(&mut transaction, visit).await?;
            transaction.commit().await?;
        }
    }
    tracing::info!("rolled up {taken} rows in {:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}
