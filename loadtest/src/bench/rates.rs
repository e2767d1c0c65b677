//! Measures the parts and their bare limits at full rate.

use std::{
    collections::VecDeque,
    path::Path,
    time::{Duration, Instant},
};

use boot::Tasks;
use bus::EventMessage;
use bytes::Bytes;
use events::{Announcement, EventName, FileId, Fingerprint, Record, SensorId, Source};
use loader::{Loader, Tuning, logs::LogSpec};
use store::{Store, ingest::events::StoredEvent};

use super::{Args, cpu::Cpu, site::Site};

#[derive(Clone, Copy, Debug)]
pub struct Measured {
    pub took: Duration,
    pub cpu: Cpu,
}

/// A part of the system, or its bare limit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, clap::ValueEnum)]
pub enum Part {
    /// The same messages (headers and payloads) from memory, the same number in flight, nothing else
    Publish,
    /// From the start of the loader to the last message acknowledged
    Load,
    /// The same rows by UNNEST … ON CONFLICT into the same table and indexes, in batches as large, one
    /// connection, nothing else
    Insert,
    /// From the start of the processor to the last commit, with all events waiting in the stream
    Process,
    /// The same without sliding windows
    ProcessWithoutPanes,
    /// Loader and processor together: from the start to the last commit
    Whole,
    /// From the log file to a queryable row, at 1 000 and 5 000 events/s
    Latency,
    /// From the log file to the 5-minute window of all events, at 1 000 and 5 000 events/s
    Freshness,
    /// The loader alone: memory, idle, an unchanged file, a small machine
    Edge,
    /// Sliding windows over many sessions
    Windows,
    /// Jobs: start, rate and progress, and the start and rate of Celery
    Jobs,
}

impl Part {
    /// Whether the part is measured at full rate, in rounds.
    pub fn is_rate(self) -> bool {
        !matches!(self, Self::Latency | Self::Freshness | Self::Edge | Self::Windows | Self::Jobs)
    }
}

/// Measures a part on fresh servers.
pub async fn measure(
    part: Part,
    site: &Site,
    args: &Args,
    tasks: &Tasks,
    log: &Path,
    lines: &[Bytes],
) -> anyhow::Result<Measured> {
    match part {
        Part::Publish => publish(site, lines).await,
        Part::Load => load(site, log, tasks, lines.len()).await,
        Part::Insert => insert(site, lines, args.processor.batch as usize).await,
        Part::Process => process(site, args, &args.processor, tasks, lines).await,
        Part::ProcessWithoutPanes => {
            process(
                site,
                args,
                &processor::Args { without_panes: true, ..args.processor.clone() },
                tasks,
                lines,
            )
            .await
        }
        Part::Whole => whole(site, args, tasks, log, lines.len()).await,
        Part::Latency | Part::Freshness | Part::Edge | Part::Windows | Part::Jobs => {
            anyhow::bail!("{part:?} is no rate")
        }
    }
}

struct Clock {
    started: Instant,
    cpu: Cpu,
}

impl Clock {
    fn start(site: &Site) -> Self {
        Self { cpu: site.cpu(), started: Instant::now() }
    }

    fn stop(self, site: &Site) -> Measured {
        Measured { took: self.started.elapsed(), cpu: site.cpu() - self.cpu }
    }
}

fn sensor() -> anyhow::Result<SensorId> {
    Ok("bench".parse()?)
}

/// Publishes the messages that the loader would send, prepared beforehand.
async fn publish(site: &Site, lines: &[Bytes]) -> anyhow::Result<Measured> {
    let bus = &site.bus;
    let sensor = sensor()?;
    let file = FileId::of(1, 2, 0, &Fingerprint::of(&lines[0]));
    let mut at = 0;
    let prepared: Vec<_> = lines
        .iter()
        .map(|line| {
            let start = at;
            at += line.len() as u64 + 1;
            let id = events::EventId::of(&sensor, line);
            let envelope = events::Envelope::read(line).ok();
            (
                line.clone(),
                id.to_string(),
                Source::one(file, start, at),
                envelope.map_or_else(String::new, |e| e.eventid),
            )
        })
        .collect();
    let announce = Announcement {
        file_id: file,
        path: "x".into(),
        device: 1,
        inode: 2,
        generation: 0,
        fingerprint: Fingerprint::of(&lines[0]),
    };
    let clock = Clock::start(site);
    let mut in_flight = VecDeque::new();
    for (n, (line, msg_id, source, eventid)) in prepared.into_iter().enumerate() {
        let announce = (n == 0).then(|| announce.clone());
        let message = EventMessage {
            name: EventName::of(&eventid),
            line,
            msg_id,
            source: Some(source),
            announce,
            replay: None,
            returns: 0,
            trace: None,
        };
        in_flight.push_back(bus.publish_event(&sensor, message).await?);
        if in_flight.len() >= 4096
            && let Some(ack) = in_flight.pop_front()
        {
            ack.await?;
        }
    }
    for ack in in_flight {
        ack.await?;
    }
    Ok(clock.stop(site))
}

pub async fn start_loader(site: &Site, log: &Path, tasks: &Tasks) -> anyhow::Result<Loader> {
    let logs = vec![LogSpec { sensor: None, pattern: log.to_string_lossy().into_owned() }];
    let args = loader::Args {
        logs,
        sensor: Some(sensor()?),
        state_dir: site.dir.join("state"),
        once: false,
        expand_arrays: false,
        tuning: Tuning::default(),
    };
    Loader::start(&args, &site.bus, tasks).await
}

async fn load(site: &Site, log: &Path, tasks: &Tasks, events: usize) -> anyhow::Result<Measured> {
    let group = tasks.group();
    let clock = Clock::start(site);
    let loader = start_loader(site, log, &group).await?;
    while site.bus.events_stream().await?.is_none_or(|stream| stream.messages < events as u64) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let measured = clock.stop(site);
    group.stop().cancel();
    loader.finish().await?;
    Ok(measured)
}

/// Inserts the rows that the processor would write, prepared beforehand.
async fn insert(site: &Site, lines: &[Bytes], batch: usize) -> anyhow::Result<Measured> {
    let sensor = sensor()?;
    let file = FileId([7; 16]);
    let stored = |line: &Bytes| {
        Record::read(&sensor, line).map(|record| StoredEvent {
            line: (!record.exact).then(|| line.to_vec()),
            record,
            source: Some((file, 0)),
            earlier: None,
        })
    };
    let mut events: Vec<_> = lines.iter().filter_map(|line| stored(line).ok()).collect();
    let days = events.iter().filter_map(processor::day).collect();
    site.store.open_days(&days).await?;
    let clock = Clock::start(site);
    for part in events.chunks_mut(batch) {
        part.sort_by_key(|event| (event.record.ts, event.record.id));
        let mut transaction = site.store.begin().await?;
        bare_insert(&mut transaction, part).await?;
        transaction.commit().await?;
    }
    Ok(clock.stop(site))
}

/// Inserts the rows of `events` and nothing else.
async fn bare_insert(on: &mut store::Connection, events: &[StoredEvent]) -> anyhow::Result<()> {
    fn column<'a, T>(events: &'a [StoredEvent], value: impl Fn(&'a StoredEvent) -> T) -> Vec<T> {
        events.iter().map(value).collect()
    }
    let time = |micros: Option<i64>| micros.map(|micros| micros as f64 / 1e6);
    sqlx::query(
        "insert into events (event_id, sensor, session, eventid, ts, src_ip, payload, line, length, source_file, source_offset)
        select encode(event_id, 'hex')::uuid, sensor, session, eventid, coalesce(to_timestamp(ts), '-infinity'), src_ip::inet, payload::jsonb, line, length,
            encode($9, 'hex')::uuid, 0
        from unnest($1::bytea[], $2::text[], $3::text[], $4::float8[], $5::text[], $6::text[], $7::bytea[], $8::int4[])
            as e (event_id, session, eventid, ts, src_ip, payload, line, length), (select $10::text as sensor) s
        on conflict do nothing",
    )
    .bind(column(events, |e| e.record.id.0.to_vec()))
    .bind(column(events, |e| e.record.session.clone()))
    .bind(column(events, |e| e.record.eventid.clone()))
    .bind(column(events, |e| time(e.record.ts)))
    .bind(column(events, |e| e.record.src_ip.map(|ip| ip.to_string())))
    .bind(column(events, |e| e.record.payload.clone()))
    .bind(column(events, |e| e.line.clone()))
    .bind(column(events, |e| e.record.length as i32))
    .bind([7_u8; 16].as_slice())
    .bind(sensor()?.as_str())
    .execute(on)
    .await?;
    Ok(())
}

async fn process(
    site: &Site,
    args: &Args,
    processor: &processor::Args,
    tasks: &Tasks,
    lines: &[Bytes],
) -> anyhow::Result<Measured> {
    publish(site, lines).await?;
    let group = tasks.detached();
    let clock = Clock::start(site);
    processor::start(processor, site.parts(&args.topology, &group)).await?;
    committed(&site.store, lines.len()).await?;
    let measured = clock.stop(site);
    group.stop().cancel();
    group.ended().await;
    Ok(measured)
}

async fn whole(
    site: &Site,
    args: &Args,
    tasks: &Tasks,
    log: &Path,
    events: usize,
) -> anyhow::Result<Measured> {
    let (working, loading) = (tasks.detached(), tasks.group());
    let clock = Clock::start(site);
    processor::start(&args.processor, site.parts(&args.topology, &working)).await?;
    let loader = start_loader(site, log, &loading).await?;
    committed(&site.store, events).await?;
    let measured = clock.stop(site);
    loading.stop().cancel();
    loader.finish().await?;
    working.stop().cancel();
    working.ended().await;
    Ok(measured)
}

/// Waits until Postgres has this many events.
pub async fn committed(store: &Store, events: usize) -> anyhow::Result<()> {
    while count(store).await? < events as i64 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

pub async fn count(store: &Store) -> anyhow::Result<i64> {
    let mut connection = store.connection().await?;
    Ok(sqlx::query_scalar("select coalesce(sum(event_count), 0)::int8 from sensors")
        .fetch_one(&mut *connection)
        .await?)
}
