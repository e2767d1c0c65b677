//! From the log file to an answer that counts the event, at a steady rate.

use std::{
    io::Write,
    path::Path,
    time::{Duration, Instant},
};

use boot::{Health, Tasks};
use bytes::Bytes;

use super::{
    Args, rates,
    report::{Row, quantile},
    site::Site,
};

/// The first are not counted: files, partitions and statements are met.
const WARM_UP: usize = 2_000;
/// How many events there are, to which each adds one as soon as it can be asked for.
const EVENTS: &str = "select coalesce(sum(event_count), 0)::int8 from sensors";
/// The same of the window that ends now.
const WINDOW: &str = "select coalesce(events, 0) from window_features('all', '', '5 minutes', now())";

/// Writes lines at a rate and asks without pause how many are there. Beside it, how long Postgres takes to commit one such row.
pub async fn measure(site: &Site, args: &Args, tasks: &Tasks, lines: &[Bytes]) -> anyhow::Result<Vec<Row>> {
    let lines: Vec<Bytes> = lines.iter().take(20_000).cloned().collect();
    let bare = bare_commits(site, &lines).await?;
    let delays = delays(site, args, tasks, Live { name: "live.json", lines, rate: 1_000, question: EVENTS }).await?;
    let (p50, p99) = (quantile(delays.clone(), 0.5).unwrap_or(f64::MAX), quantile(delays, 0.99).unwrap_or(f64::MAX));
    let (bare50, bare99) = (quantile(bare.clone(), 0.5).unwrap_or_default(), quantile(bare, 0.99).unwrap_or_default());
    Ok(vec![
        Row::plain("file to queryable, 1 000/s, p50", p50, "ms").beside("one bare commit, p50", bare50),
        Row::plain("file to queryable, 1 000/s, p99", p99, "ms").beside("one bare commit, p99", bare99).budget("≤ 400 ms", p99 <= 400.0),
    ])
}

/// The same for the 5-minute window of all events, with lines that are written when they say.
pub async fn freshness(site: &Site, args: &Args, tasks: &Tasks, lines: &[Bytes]) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut rest = lines;
    for (name, rate, count, [half, most]) in [
        ("fresh-1000.json", 1_000, 20_000, ["file to 5-minute window, 1 000/s, p50", "file to 5-minute window, 1 000/s, p99"]),
        ("fresh-5000.json", 5_000, 60_000, ["file to 5-minute window, 5 000/s, p50", "file to 5-minute window, 5 000/s, p99"]),
    ] {
        anyhow::ensure!(rest.len() >= count, "freshness needs 80 000 events: --events");
        let (some, after) = rest.split_at(count);
        rest = after;
        let delays = delays(site, args, tasks, Live { name, lines: some.to_vec(), rate, question: WINDOW }).await?;
        rows.push(Row::plain(half, quantile(delays.clone(), 0.5).unwrap_or(f64::MAX), "ms"));
        rows.push(Row::plain(most, quantile(delays, 0.99).unwrap_or(f64::MAX), "ms"));
    }
    Ok(rows)
}

/// A log that is written at a rate, and the question that counts its events.
struct Live {
    name: &'static str,
    lines: Vec<Bytes>,
    /// Events a second.
    rate: u64,
    question: &'static str,
}

/// Milliseconds from the write of each line to the first answer that counts it.
async fn delays(site: &Site, args: &Args, tasks: &Tasks, live: Live) -> anyhow::Result<Vec<f64>> {
    let log = site.dir.join(live.name);
    std::fs::write(&log, b"")?;
    let (working, loading) = (tasks.detached(), tasks.group());
    processor::start(&args.processor, &args.topology, site.bus.clone(), site.store.clone(), &Health::default(), &working).await?;
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
    Ok(written.iter().zip(seen).skip(WARM_UP).map(|(written, seen)| seen.saturating_duration_since(*written).as_secs_f64() * 1e3).collect())
}

/// Milliseconds of single-row transactions, one after the other.
async fn bare_commits(site: &Site, lines: &[Bytes]) -> anyhow::Result<Vec<f64>> {
    let mut connection = site.store.connection().await?;
    sqlx::query("create table bare (n bigint primary key, payload jsonb not null)").execute(&mut *connection).await?;
    let mut took = Vec::new();
    for (n, line) in lines.iter().take(2_000).enumerate() {
        let text = String::from_utf8_lossy(line);
        let started = Instant::now();
        let insert = sqlx::query("insert into bare values ($1, regexp_replace($2, '\\\\u0000', '', 'g')::jsonb) on conflict do nothing");
        insert.bind(n as i64).bind(text.as_ref()).execute(&mut *connection).await?;
        took.push(started.elapsed().as_secs_f64() * 1e3);
    }
    Ok(took)
}

/// Appends line by line, each by one write, with the time as its timestamp; returns when each was written.
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

/// The line with the time of now.
fn stamped(line: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut event: serde_json::Value = serde_json::from_slice(line)?;
    event["timestamp"] = chrono::Utc::now().format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string().into();
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

/// When Postgres was first seen to have one event more than before, two, …
async fn watch(site: &Site, question: &'static str, before: i64, events: usize) -> anyhow::Result<Vec<Instant>> {
    let mut connection = site.store.connection().await?;
    let mut seen = Vec::with_capacity(events);
    while seen.len() < events {
        let there: i64 = sqlx::query_scalar(question).fetch_one(&mut *connection).await?;
        seen.resize(seen.len().max((there - before).max(0) as usize), Instant::now());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(seen)
}
