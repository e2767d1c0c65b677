//! Measures the time from the log file to a query result that counts the event, at a steady rate.

use std::{
    io::Write,
    path::Path,
    time::{Duration, Instant},
};

use boot::Tasks;
use bytes::Bytes;

use super::{
    Args, rates,
    report::{Row, quantile},
    site::Site,
};

/// The first events are not counted: they open files, create partitions and prepare statements.
const WARM_UP: usize = 2_000;
/// Events per second, number of events, and the limit of the 99th percentile in milliseconds.
const RATES: [(u64, usize, f64); 2] = [(1_000, 20_000, 100.0), (5_000, 60_000, 400.0)];
/// The total number of events; each event adds one as soon as queries see it.
const EVENTS: &str = "select coalesce(sum(event_count), 0)::int8 from sensors";
/// The same for the window that ends now.
const WINDOW: &str = "select coalesce(events, 0) from window_features('all', '', '5 minutes', now())";

/// A query, and the names of its rows: p50 and p99 at each of the [`RATES`].
struct Question {
    sql: &'static str,
    names: [[&'static str; 2]; 2],
}

/// Measures the time from the log file to a queryable row.
pub async fn measure(site: &Site, args: &Args, tasks: &Tasks, lines: &[Bytes]) -> anyhow::Result<Vec<Row>> {
    let names = [
        ["file to queryable, 1 000/s, p50", "file to queryable, 1 000/s, p99"],
        ["file to queryable, 5 000/s, p50", "file to queryable, 5 000/s, p99"],
    ];
    at_rates(site, args, tasks, lines, Question { sql: EVENTS, names }).await
}

/// Measures the time from the log file to the 5-minute window of all events.
pub async fn freshness(site: &Site, args: &Args, tasks: &Tasks, lines: &[Bytes]) -> anyhow::Result<Vec<Row>> {
    let names = [
        ["file to 5-minute window, 1 000/s, p50", "file to 5-minute window, 1 000/s, p99"],
        ["file to 5-minute window, 5 000/s, p50", "file to 5-minute window, 5 000/s, p99"],
    ];
    at_rates(site, args, tasks, lines, Question { sql: WINDOW, names }).await
}

/// Writes lines at each rate and queries their number without pause, with windows, features and live rules
/// on. For comparison, also measures how long Postgres takes to commit one such row.
async fn at_rates(
    site: &Site,
    args: &Args,
    tasks: &Tasks,
    lines: &[Bytes],
    question: Question,
) -> anyhow::Result<Vec<Row>> {
    anyhow::ensure!(!args.processor.without_panes, "latency is measured with windows");
    let bare = bare_commits(site, lines).await?;
    let bare = [("one bare commit, p50", 0.5), ("one bare commit, p99", 0.99)]
        .map(|(name, share)| (name, quantile(bare.clone(), share).unwrap_or_default()));
    let (mut rows, mut rest) = (Vec::new(), lines);
    for ((rate, count, most), [half, almost_all]) in RATES.into_iter().zip(question.names) {
        anyhow::ensure!(
            rest.len() >= count,
            "latency needs {} events: --events",
            RATES.iter().map(|(_, count, _)| count).sum::<usize>()
        );
        let (some, after) = rest.split_at(count);
        rest = after;
        let delays = delays(
            site,
            args,
            tasks,
            Live { name: format!("live-{rate}.json"), lines: some.to_vec(), rate, question: question.sql },
        )
        .await?;
        let (p50, p99) =
            (quantile(delays.clone(), 0.5).unwrap_or(f64::MAX), quantile(delays, 0.99).unwrap_or(f64::MAX));
        rows.push(Row::plain(half, p50, "ms").beside(bare[0].0, bare[0].1));
        let budget = if most < 200.0 { "≤ 100 ms" } else { "≤ 400 ms" };
        rows.push(Row::plain(almost_all, p99, "ms").beside(bare[1].0, bare[1].1).budget(budget, p99 <= most));
    }
    Ok(rows)
}

/// A log that is written at a rate, and the query that counts its events.
struct Live {
    name: String,
    lines: Vec<Bytes>,
    /// Events per second.
    rate: u64,
    question: &'static str,
}

/// Returns the milliseconds from the write of each line to the first result that counts it.
async fn delays(site: &Site, args: &Args, tasks: &Tasks, live: Live) -> anyhow::Result<Vec<f64>> {
    let log = site.dir.join(&live.name);
    std::fs::write(&log, b"")?;
    let (working, loading) = (tasks.detached(), tasks.group());
    processor::start(&args.processor, site.parts(&args.topology, &working)).await?;
    let loader = rates::start_loader(site, &log, &loading).await?;
    let (events, question) = (live.lines.len(), live.question);
    let before = count(site, question).await?;
    let writing = tasks.start(write(log, live));
    let seen = watch(site, question, before, events).await?;
    let written = writing.result().await??;
    loading.stop().cancel();
    loader.finish().await?;
    working.stop().cancel();
    working.ended().await;
    Ok(written
        .iter()
        .zip(seen)
        .skip(WARM_UP)
        .map(|(written, seen)| seen.saturating_duration_since(*written).as_secs_f64() * 1e3)
        .collect())
}

/// Returns the milliseconds of single-row transactions, one after the other.
async fn bare_commits(site: &Site, lines: &[Bytes]) -> anyhow::Result<Vec<f64>> {
    let mut connection = site.store.connection().await?;
    sqlx::query("create table bare (n bigint primary key, payload jsonb not null)")
        .execute(&mut *connection)
        .await?;
    let mut took = Vec::new();
    for (n, line) in lines.iter().take(2_000).enumerate() {
        let text = String::from_utf8_lossy(line);
        let started = Instant::now();
        let insert = sqlx::query(
            "insert into bare values ($1, regexp_replace($2, '\\\\u0000', '', 'g')::jsonb) on conflict do nothing",
        );
        insert.bind(n as i64).bind(text.as_ref()).execute(&mut *connection).await?;
        took.push(started.elapsed().as_secs_f64() * 1e3);
    }
    Ok(took)
}

/// Appends each line with one write and the current time as its timestamp. Returns when each line was
/// written.
async fn write(log: std::path::PathBuf, live: Live) -> anyhow::Result<Vec<Instant>> {
    let mut file = open(&log)?;
    let mut at = Vec::with_capacity(live.lines.len());
    let mut due = tokio::time::interval(Duration::from_micros(1_000_000 / live.rate));
    for line in live.lines {
        due.tick().await;
        let line = stamped(&line)?;
        at.push(Instant::now());
        file.write_all(&line)?;
    }
    Ok(at)
}

/// Returns the line with the current time.
fn stamped(line: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut event: serde_json::Value = serde_json::from_slice(line)?;
    event["timestamp"] = boot::now().format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string().into();
    let mut line = serde_json::to_vec(&event)?;
    line.push(b'\n');
    Ok(line)
}

fn open(log: &Path) -> std::io::Result<std::fs::File> {
    std::fs::OpenOptions::new().append(true).open(log)
}

async fn count(site: &Site, question: &'static str) -> anyhow::Result<i64> {
    let mut connection = site.store.connection().await?;
    Ok(sqlx::query_scalar(question).fetch_one(&mut *connection).await?)
}

/// Returns when Postgres was first seen to have one more event than before, two more, and so on.
async fn watch(
    site: &Site,
    question: &'static str,
    before: i64,
    events: usize,
) -> anyhow::Result<Vec<Instant>> {
    let mut connection = site.store.connection().await?;
    let mut seen = Vec::with_capacity(events);
    while seen.len() < events {
        let there: i64 = sqlx::query_scalar(question).fetch_one(&mut *connection).await?;
        seen.resize(seen.len().max((there - before).max(0) as usize), Instant::now());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(seen)
}
