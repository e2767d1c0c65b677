//! From the log file to a row that can be asked for, at a steady rate.

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

/// Events a second.
const RATE: u64 = 1000;
/// Events in one measurement: twenty seconds.
const EVENTS: usize = 20_000;
/// The first are not counted: files, partitions and statements are met.
const WARM_UP: usize = 2_000;

/// Writes lines at the rate and asks without pause how many are there. Beside it, how long Postgres takes to commit one such row.
pub async fn measure(site: &Site, args: &Args, tasks: &Tasks, lines: &[Bytes]) -> anyhow::Result<Vec<Row>> {
    let lines: Vec<Bytes> = lines.iter().take(EVENTS).cloned().collect();
    let bare = bare_commits(site, &lines).await?;
    let log = site.dir.join("live.json");
    std::fs::write(&log, b"")?;
    let (working, loading) = (tasks.detached(), tasks.group());
    processor::start(&args.processor, &args.topology, site.bus.clone(), site.store.clone(), &Health::default(), &working).await?;
    let loader = rates::start_loader(site, &log, &loading).await?;
    let writing = tasks.start(write(log, lines.clone()));
    let seen = watch(site, lines.len()).await?;
    let written = writing.result().await??;
    loading.stop().cancel();
    loader.finish().await?;
    working.stop().cancel();
    working.ended().await;
    let delays = written.iter().zip(seen).skip(WARM_UP).map(|(written, seen)| seen.saturating_duration_since(*written).as_secs_f64() * 1e3).collect::<Vec<_>>();
    let (p50, p99) = (quantile(delays.clone(), 0.5).unwrap_or(f64::MAX), quantile(delays, 0.99).unwrap_or(f64::MAX));
    let (bare50, bare99) = (quantile(bare.clone(), 0.5).unwrap_or_default(), quantile(bare, 0.99).unwrap_or_default());
    Ok(vec![
        Row::plain("file to queryable, 1 000/s, p50", p50, "ms").beside("one bare commit, p50", bare50),
        Row::plain("file to queryable, 1 000/s, p99", p99, "ms").beside("one bare commit, p99", bare99).budget("≤ 400 ms", p99 <= 400.0),
    ])
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

/// Appends line by line, each by one write; returns when each was written.
async fn write(log: std::path::PathBuf, lines: Vec<Bytes>) -> anyhow::Result<Vec<Instant>> {
    let mut file = open(&log)?;
    let mut at = Vec::with_capacity(lines.len());
    let mut due = tokio::time::interval(Duration::from_micros(1_000_000 / RATE));
    for line in lines {
        due.tick().await;
        let line = [line.as_ref(), b"\n"].concat();
        at.push(Instant::now());
        file.write_all(&line)?;
    }
    Ok(at)
}

fn open(log: &Path) -> std::io::Result<std::fs::File> {
    std::fs::OpenOptions::new().append(true).open(log)
}

/// When Postgres was first seen to have one event, two, …
async fn watch(site: &Site, events: usize) -> anyhow::Result<Vec<Instant>> {
    let mut connection = site.store.connection().await?;
    let mut seen = Vec::with_capacity(events);
    while seen.len() < events {
        let there: i64 = sqlx::query_scalar("select coalesce(sum(event_count), 0)::int8 from sensors").fetch_one(&mut *connection).await?;
        seen.resize(seen.len().max(there as usize), Instant::now());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(seen)
}
