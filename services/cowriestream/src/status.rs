//! `status`: the state of the pipeline.

use bus::{
    Bus, ConsumerFacts, Heartbeat, StreamFacts,
    topology::{DEAD, EVENTS, FINDINGS, SESSIONS},
};
use serde::Serialize;
use store::{
    Store,
    jobs::queues::Queue,
    status::{SensorStatus, WindowStatus},
};

use crate::target::Target;

/// A loader whose last heartbeat is older than this is `away`.
const FRESH_MS: i64 = 15_000;

/// `cowriestream status`
#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Status {
    sensors: Vec<Sensor>,
    streams: Vec<Stream>,
    windows: WindowStatus,
    queues: Vec<Queue>,
    outbox_waiting: i64,
}

#[derive(Debug, Serialize)]
struct Sensor {
    #[serde(flatten)]
    stored: SensorStatus,
    /// `away` when its heartbeat is old; `none` when it never sent one.
    loader: String,
    heartbeat: Option<Heartbeat>,
}

#[derive(Debug, Serialize)]
struct Stream {
    name: &'static str,
    messages: u64,
    bytes: u64,
    last_seq: u64,
    /// Not yet delivered to the processor.
    pending: Option<u64>,
    /// Delivered but not yet committed.
    unacknowledged: Option<u64>,
}

/// Collects the state and prints it.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let store = Store::connect(&args.target.store()?).await?;
    store.check_schema().await?;
    let bus = Bus::connect(&args.target.bus()?, "status").await?;
    let mut connection = store.connection().await?;
    let beats = bus.heartbeats().await.unwrap_or_default();
    let stored = store::status::sensors(&mut connection).await?;
    let mut streams = Vec::new();
    for name in [EVENTS, DEAD, SESSIONS, FINDINGS] {
        let consumer = bus.consumer(name).await?;
        streams.extend(bus.stream(name).await?.map(|facts| stream(name, facts, consumer)));
    }
    let status = Status {
        sensors: stored.into_iter().map(|one| sensor(one, &beats)).collect(),
        streams,
        windows: store::status::windows(&mut connection).await?,
        queues: store::jobs::queues::list(&mut connection).await?,
        outbox_waiting: store::ingest::outbox::waiting(&mut connection).await?,
    };
    if args.json {
        boot::say!("{}", serde_json::to_string(&status)?);
    } else {
        print(&status);
    }
    Ok(())
}

fn sensor(stored: SensorStatus, beats: &[(events::SensorId, Heartbeat)]) -> Sensor {
    let heartbeat = beats.iter().find(|(id, _)| id.as_str() == stored.sensor).map(|(_, beat)| beat.clone());
    let now = boot::now().timestamp_millis();
    let loader = match &heartbeat {
        None => "none".to_owned(),
        Some(beat) if beat.state != "stopped" && now - beat.at_ms > FRESH_MS => "away".to_owned(),
        Some(beat) => beat.state.clone(),
    };
    Sensor { stored, loader, heartbeat }
}

fn stream(name: &'static str, facts: StreamFacts, consumer: Option<ConsumerFacts>) -> Stream {
    Stream {
        name,
        messages: facts.messages,
        bytes: facts.bytes,
        last_seq: facts.last_seq,
        pending: consumer.map(|c| c.pending),
        unacknowledged: consumer.map(|c| c.unacknowledged),
    }
}

fn print(status: &Status) {
    print_sensors(&status.sensors);
    boot::say!("");
    for stream in &status.streams {
        let or_none = |n: Option<u64>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
        boot::say!(
            "stream {:<9} {:>10} messages, {:>12} bytes, last {:>10}; processor: {} pending, {} unacknowledged",
            stream.name,
            stream.messages,
            stream.bytes,
            stream.last_seq,
            or_none(stream.pending),
            or_none(stream.unacknowledged)
        );
    }
    let windows = &status.windows;
    let (waiting, lag) = (windows.visits + windows.touches, windows.roll_up_lag_seconds);
    boot::say!("windows: roll-up: {waiting} waiting, the oldest for {lag:.0} s");
    if windows.days_to_add > 0 {
        boot::say!("windows: {} days of earlier events are not added yet", windows.days_to_add);
    }
    for (before, grain) in [(windows.minutes_dropped_before, "hour"), (windows.hours_dropped_before, "day")] {
        if let Some(before) = before {
            boot::say!("windows: exact to the {grain} before {}", before.format("%Y-%m-%d"));
        }
    }
    for queue in status.queues.iter().filter(|queue| queue.waiting + queue.running > 0 || queue.paused) {
        let paused = if queue.paused { ", paused" } else { "" };
        boot::say!("jobs in {}: {} waiting, {} running{paused}", queue.name, queue.waiting, queue.running);
    }
    boot::say!("outbox: {} waiting", status.outbox_waiting);
}

fn print_sensors(sensors: &[Sensor]) {
    boot::say!(
        "{:<20} {:<8} {:>12} {:>8} {:>10} {:>10} {:>10} {:>8} {:>8} {:>6} {:>8} {:>8}  last event               windows to",
        "sensor",
        "loader",
        "events",
        "unknown",
        "sessions",
        "lag bytes",
        "duplicates",
        "late",
        "sealed",
        "dead",
        "gap",
        "dropped"
    );
    for Sensor { stored, loader, heartbeat } in sensors {
        let last = stored
            .last_event_at
            .map_or_else(|| "-".to_owned(), |at| at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true));
        let minute = stored
            .newest_minute
            .map_or_else(|| "-".to_owned(), |at| at.format("%Y-%m-%dT%H:%MZ").to_string());
        let lag = heartbeat.as_ref().map_or_else(|| "-".to_owned(), |beat| beat.lag_bytes.to_string());
        let dropped = heartbeat.as_ref().map_or_else(|| "-".to_owned(), |beat| beat.dropped.to_string());
        boot::say!(
            "{:<20} {loader:<8} {:>12} {:>8} {:>10} {lag:>10} {:>10} {:>8} {:>8} {:>6} {:>8} {dropped:>8}  {last:<24} {minute}",
            stored.sensor,
            stored.events,
            stored.unknown,
            stored.sessions,
            stored.duplicates,
            stored.late,
            stored.sealed,
            stored.dead_letters,
            stored.gap_bytes
        );
        for file in heartbeat.iter().flat_map(|beat| &beat.files) {
            boot::say!(
                "  {} generation {}: {} bytes, read to {}, committed to {}{}",
                boot::safe(&file.path),
                file.generation,
                file.size,
                file.read,
                file.committed,
                repairs(&file.repairs)
            );
            if let Some(problem) = &file.problem {
                boot::say!("    not read to its end: {}", boot::safe(problem));
            }
        }
        if let Some(beat) = heartbeat {
            print_troubles(beat);
        }
    }
}

/// Prints what prevents the loader from reading everything, or from writing its checkpoint.
fn print_troubles(beat: &Heartbeat) {
    if beat.damaged + beat.unreadable > 0 {
        boot::say!("  {} files are damaged or cut off, {} cannot be read", beat.damaged, beat.unreadable);
    }
    if let Some(trouble) = &beat.trouble {
        boot::say!("  the loader cannot write its checkpoint and will retry: {}", boot::safe(trouble));
    }
}

/// The repairs by kind; empty when there are none.
fn repairs(made: &bus::Repairs) -> String {
    let kinds = [
        ("skipped bytes", made.skipped_bytes),
        ("glued lines", made.glued),
        ("stitched events", made.stitched),
        ("arrays", made.arrays),
        ("lines without newline", made.unfinished),
    ];
    let made: Vec<_> =
        kinds.iter().filter(|(_, count)| *count > 0).map(|(kind, count)| format!("{count} {kind}")).collect();
    if made.is_empty() { String::new() } else { format!("; repaired: {}", made.join(", ")) }
}
