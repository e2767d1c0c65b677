//! Loader and processor beside their bare limits: the same lines, servers and machine, in turns (A B A B …), medians.
//!
//! Bare publish: the same messages (headers and payloads) from memory, the same number in flight, nothing else.
//! Bare insert: the same rows by `UNNEST … ON CONFLICT` into the same table and indexes, in batches as large, one connection, nothing else.
//! Durability as `up` sets it: NATS file storage with its default fsync interval, Postgres with fsync and synchronous_commit on.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use boot::{Health, Tasks};
use bus::{Bus, EventMessage, topology::TopologyArgs};
use bytes::Bytes;
use cowriestream::servers::{DataDir, Servers, Wanted};
use events::{Announcement, EventName, FileId, Fingerprint, Record, SensorId, Source};
use loader::{Loader, Tuning, logs::LogSpec};
use store::{Store, StoreArgs, StoredEvent};

/// `loadtest bench`
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Args {
    /// The lines: a plain log; it is repeated with changed times until there are enough
    #[arg(long)]
    log: PathBuf,
    /// Events in each measurement
    #[arg(long, default_value_t = 200_000)]
    events: usize,
    /// How often each is measured
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    #[command(flatten)]
    processor: processor::Args,
    #[command(flatten)]
    topology: TopologyArgs,
}

/// Measures and prints.
pub async fn run(args: Args, tasks: Tasks) -> anyhow::Result<()> {
    let lines = lines(&args)?;
    let bytes: usize = lines.iter().map(Bytes::len).sum();
    boot::say!("{} events, {} bytes a line on average", lines.len(), bytes / lines.len());
    let mut rates: [Vec<f64>; 4] = Default::default();
    for _ in 0..args.rounds {
        let round = round(&args, &tasks, &lines).await?;
        round.into_iter().zip(&mut rates).for_each(|(rate, all)| all.push(rate));
    }
    let [publish, load, insert, process] = rates.map(median);
    boot::say!("{:<34} {:>10} events/s", "bare publish", publish.round());
    boot::say!("{:<34} {:>10} events/s  {:.0} % of bare", "loader (file to acknowledged)", load.round(), 100.0 * load / publish);
    boot::say!("{:<34} {:>10} events/s", "bare insert", insert.round());
    boot::say!("{:<34} {:>10} events/s  {:.0} % of bare", "processor (stream to committed)", process.round(), 100.0 * process / insert);
    Ok(())
}

/// Bare publish, loader, bare insert, processor, each on fresh streams and tables.
async fn round(args: &Args, tasks: &Tasks, lines: &[Bytes]) -> anyhow::Result<[f64; 4]> {
    let dir = std::env::temp_dir().join(format!("cowriestream-loadtest-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    std::fs::set_permissions(&dir, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let mut rates = [0.0; 4];
    let log = dir.join("cowrie.json");
    std::fs::write(&log, lines.iter().flat_map(|line| [line.as_ref(), b"\n".as_slice()]).collect::<Vec<_>>().concat())?;
    for (n, rate) in rates.iter_mut().enumerate() {
        let data = DataDir::take(&dir.join("data"))?;
        let mut servers = Servers::start(&data, Wanted { nats: true, postgres: true, redis: false }).await?;
        let bus = Bus::connect(&bus::BusArgs { nats_url: servers.urls.nats.clone(), nats_creds: None }, "loadtest").await?;
        let store = Store::connect(&StoreArgs { database_url: servers.urls.database.clone(), database_connections: 8 }).await?;
        store.migrate().await?;
        bus.provision(&args.topology).await?;
        let seconds = match n {
            0 => publish(&bus, lines).await?,
            1 => load(&bus, &log, &dir, tasks, lines.len()).await?,
            2 => insert(&store, lines, args.processor.batch as usize).await?,
            _ => process(args, &bus, &store, tasks, lines).await?,
        };
        *rate = lines.len() as f64 / seconds.as_secs_f64();
        servers.stop().await;
        drop(data);
        std::fs::remove_dir_all(dir.join("data"))?;
    }
    std::fs::remove_dir_all(&dir)?;
    Ok(rates)
}

fn sensor() -> anyhow::Result<SensorId> {
    Ok("bench".parse()?)
}

/// The messages as the loader makes them, prepared beforehand.
async fn publish(bus: &Bus, lines: &[Bytes]) -> anyhow::Result<Duration> {
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
            (line.clone(), id.to_string(), Source::one(file, start, at), envelope.map_or_else(String::new, |e| e.eventid))
        })
        .collect();
    let announce = Announcement { file_id: file, path: "x".into(), device: 1, inode: 2, generation: 0, fingerprint: Fingerprint::of(&lines[0]) };
    let started = Instant::now();
    let mut in_flight = VecDeque::new();
    for (n, (line, msg_id, source, eventid)) in prepared.into_iter().enumerate() {
        let announce = (n == 0).then(|| announce.clone());
        let message = EventMessage { name: EventName::of(&eventid), line, msg_id, source: Some(source), announce, replay: None };
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
    Ok(started.elapsed())
}

/// From the start of the loader to the last message in the stream.
async fn load(bus: &Bus, log: &Path, dir: &Path, tasks: &Tasks, events: usize) -> anyhow::Result<Duration> {
    let logs = vec![LogSpec { sensor: None, pattern: log.to_string_lossy().into_owned() }];
    let args = loader::Args { logs, sensor: Some(sensor()?), state_dir: dir.join("data/state"), once: false, expand_arrays: false, tuning: Tuning::default() };
    let group = tasks.group();
    let started = Instant::now();
    let loader = Loader::start(&args, bus, &group).await?;
    while bus.events_stream().await?.is_none_or(|stream| stream.messages < events as u64) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let took = started.elapsed();
    group.stop().cancel();
    loader.finish().await?;
    Ok(took)
}

/// The rows as the processor makes them, prepared beforehand.
async fn insert(store: &Store, lines: &[Bytes], batch: usize) -> anyhow::Result<Duration> {
    let sensor = sensor()?;
    let file = FileId([7; 16]);
    let stored =
        |line: &Bytes| Record::read(&sensor, line).map(|record| StoredEvent { line: (!record.exact).then(|| line.to_vec()), record, source: Some((file, 0)) });
    let mut events: Vec<_> = lines.iter().filter_map(|line| stored(line).ok()).collect();
    let days = events.iter().filter_map(processor::day).collect();
    store.open_days(&days).await?;
    let started = Instant::now();
    for part in events.chunks_mut(batch) {
        part.sort_by_key(|event| (event.record.ts, event.record.id));
        let mut transaction = store.begin().await?;
        bare_insert(&mut transaction, part).await?;
        transaction.commit().await?;
    }
    Ok(started.elapsed())
}

/// Nothing but the rows of `events`.
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

/// From the start of the processor to the last commit, with a full stream waiting.
async fn process(args: &Args, bus: &Bus, store: &Store, tasks: &Tasks, lines: &[Bytes]) -> anyhow::Result<Duration> {
    publish(bus, lines).await?;
    let group = tasks.detached();
    let started = Instant::now();
    processor::start(&args.processor, &args.topology, bus.clone(), store.clone(), &Health::default(), &group).await?;
    loop {
        let mut connection = store.connection().await?;
        let sensors = store::sensor_status(&mut connection).await?;
        if sensors.iter().map(|sensor| sensor.events).sum::<i64>() >= lines.len() as i64 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let took = started.elapsed();
    group.stop().cancel();
    group.ended().await;
    Ok(took)
}

/// Distinct lines of realistic shape: those of the log, repeated with another session and time.
fn lines(args: &Args) -> anyhow::Result<Vec<Bytes>> {
    let text = std::fs::read_to_string(&args.log)?;
    let originals: Vec<serde_json::Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    anyhow::ensure!(!originals.is_empty(), "{} has no events", args.log.display());
    let copy = |n: usize| -> anyhow::Result<Bytes> {
        let mut event = originals[n % originals.len()].clone();
        let again = n / originals.len();
        if let Some(session) = event["session"].as_str() {
            event["session"] = format!("{again:04x}{}", &session[session.len().min(4)..]).into();
        }
        event["copy"] = again.into();
        Ok(serde_json::to_vec(&event)?.into())
    };
    (0..args.events).map(copy).collect()
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or_default()
}
