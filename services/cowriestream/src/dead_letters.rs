//! `dead-letters`: lists, shows and replays lines and bytes that could not be used.

use std::io::IsTerminal;

use anyhow::{Context as _, bail};
use bus::{Bus, EventMessage};
use events::{DeadId, Envelope, EventId, EventName, SensorId, repair};
use store::{Store, ingest::dead_letters::DeadLetterRow};

use crate::target::Target;

/// `cowriestream dead-letters`
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List dead letters, the newest first
    List {
        /// Only of this sensor
        #[arg(long, value_name = "NAME")]
        sensor: Option<SensorId>,
        /// Only with this reason, e.g. truncated, not_json, too_long, rejected, gap
        #[arg(long)]
        reason: Option<String>,
        /// Also those that a replay has resolved
        #[arg(long)]
        resolved: bool,
        /// List at most N dead letters
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=100_000), value_name = "N")]
        limit: i64,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// The running system
        #[command(flatten)]
        target: Target,
    },
    /// Show one with all that is known about it, and its bytes with control characters escaped
    Show {
        /// Its id, as listed
        id: String,
        /// Write its exact bytes to standard output (not to a terminal)
        #[arg(long)]
        raw: bool,
        /// Print JSON
        #[arg(long, conflicts_with = "raw")]
        json: bool,
        /// The running system
        #[command(flatten)]
        target: Target,
    },
    /// Publish dead letters again that may be events now: after an update, or after the database refused them
    Replay {
        /// Ids, as listed
        #[arg(required_unless_present = "all")]
        ids: Vec<String>,
        /// All that are not resolved (at most 100 000)
        #[arg(long, conflicts_with = "ids")]
        all: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// The running system
        #[command(flatten)]
        target: Target,
    },
}

pub async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::List { sensor, reason, resolved, limit, json, target } => {
            let mut connection = Store::connect(&target.store()?).await?.connection().await?;
            let rows = store::ingest::dead_letters::list(
                &mut connection,
                sensor.as_ref().map(SensorId::as_str),
                reason.as_deref(),
                resolved,
                limit,
            )
            .await?;
            list(&rows, json)
        }
        Command::Show { id, raw, json, target } => {
            let mut connection = Store::connect(&target.store()?).await?.connection().await?;
            let row = store::ingest::dead_letters::get(&mut connection, parse(&id)?)
                .await?
                .with_context(|| format!("no dead letter {id}"))?;
            show(&row, raw, json)
        }
        Command::Replay { ids, all, json, target } => replay(ids, all, json, &target).await,
    }
}

/// Parses an id with or without dashes, as psql or as `list` prints it.
fn parse(id: &str) -> anyhow::Result<DeadId> {
    id.replace('-', "").parse().with_context(|| format!("{id:?} is not the id of a dead letter"))
}

fn list(rows: &[DeadLetterRow], json: bool) -> anyhow::Result<()> {
    if json {
        boot::say!("{}", serde_json::to_string(rows)?);
        return Ok(());
    }
    for row in rows {
        let place = row
            .source_path
            .as_deref()
            .map_or_else(String::new, |path| format!(" {}:{}", path, row.source_offset.unwrap_or_default()));
        let resolved = if row.resolved_at.is_some() { " (resolved)" } else { "" };
        boot::say!(
            "{} {} {:<13} {:>8} bytes{} {}{resolved}",
            row.dead_id.simple(),
            row.sensor,
            row.reason,
            row.length,
            boot::safe(&place),
            boot::safe(&row.detail)
        );
    }
    boot::say!("{} dead letters", rows.len());
    Ok(())
}

fn show(row: &DeadLetterRow, raw: bool, json: bool) -> anyhow::Result<()> {
    let body = row.body.as_deref().unwrap_or_default();
    if raw {
        if std::io::stdout().is_terminal() {
            bail!("an attacker wrote these bytes: write them to a file or a pipe, not to a terminal");
        }
        boot::write_bytes(body);
        return Ok(());
    }
    if json {
        let mut value = serde_json::to_value(row)?;
        value["body"] = String::from_utf8_lossy(body).into();
        boot::say!("{value}");
        return Ok(());
    }
    boot::say!("id        {}", row.dead_id.simple());
    boot::say!("sensor    {}", row.sensor);
    boot::say!("reason    {}: {}", row.reason, boot::safe(&row.detail));
    boot::say!(
        "read from {} at byte {}",
        boot::safe(row.source_path.as_deref().unwrap_or("?")),
        row.source_offset.unwrap_or_default()
    );
    boot::say!("stored    {}", row.ingested_at);
    if let Some(at) = row.resolved_at {
        let by = row.resolved_event.map_or_else(
            || "by a dead letter with more of its line".to_owned(),
            |event| format!("as event {}", event.simple()),
        );
        boot::say!("resolved  {at} {by}");
    }
    boot::say!("length    {} bytes, {} of them stored:", row.length, body.len());
    boot::say!("{}", boot::safe(&String::from_utf8_lossy(body)));
    Ok(())
}

async fn replay(ids: Vec<String>, all: bool, json: bool, target: &Target) -> anyhow::Result<()> {
    let mut connection = Store::connect(&target.store()?).await?.connection().await?;
    let bus = Bus::connect(&target.bus()?, "dead-letters").await?;
    let ids: Vec<DeadId> = if all {
        store::ingest::dead_letters::list(&mut connection, None, None, false, 100_000)
            .await?
            .iter()
            .map(|row| DeadId(row.dead_id.into_bytes()))
            .collect()
    } else {
        ids.iter().map(|id| parse(id)).collect::<anyhow::Result<_>>()?
    };
    let (mut published, mut unusable) = (Vec::new(), Vec::new());
    for id in ids {
        let row = store::ingest::dead_letters::get(&mut connection, id)
            .await?
            .with_context(|| format!("no dead letter {id}"))?;
        match publish(&bus, id, &row).await? {
            Ok(event) => published.push(serde_json::json!({ "dead_id": id, "event_id": event })),
            Err(why) => unusable.push(serde_json::json!({ "dead_id": id, "why": why })),
        }
    }
    if json {
        boot::say!("{}", serde_json::json!({ "published": published, "unusable": unusable }));
    } else {
        boot::say!("{} published again; the processor resolves them when it stores them", published.len());
        for one in &unusable {
            boot::say!(
                "still unusable: {} {}",
                one["dead_id"].as_str().unwrap_or_default(),
                boot::safe(one["why"].as_str().unwrap_or_default())
            );
        }
    }
    Ok(())
}

/// Publishes the bytes of a dead letter, if they are an event.
async fn publish(bus: &Bus, id: DeadId, row: &DeadLetterRow) -> anyhow::Result<Result<EventId, String>> {
    let body = row.body.clone().unwrap_or_default();
    if body.len() as i64 != row.length {
        return Ok(Err(format!("only {} of {} bytes are stored", body.len(), row.length)));
    }
    let sensor: SensorId = row.sensor.parse()?;
    let envelope = match Envelope::read(&body) {
        Ok(envelope) => envelope,
        Err(why) => return Ok(Err(why.to_string())),
    };
    let line = repair::without_returns(&body);
    let (event, returns) = (EventId::of(&sensor, line), body.len() - line.len());
    // A message id of its own, because the duplicate window may know the id of the event.
    let now = boot::now().timestamp_micros();
    let message = EventMessage {
        name: EventName::of(&envelope.eventid),
        line: line.to_vec().into(),
        msg_id: format!("{event}.replay.{now}"),
        source: None,
        announce: None,
        replay: Some(id),
        returns,
        trace: None,
    };
    let ack = bus.publish_event(&sensor, message).await.context("publish a replay")?;
    ack.await.context("publish a replay")?;
    Ok(Ok(event))
}
