//! `keys`: API keys and the audit log, straight in Postgres, so that it works before any key exists.

use access::{Created, KeyView, Wish};
use anyhow::Context as _;
use chrono::{DateTime, TimeDelta, Utc};
use fields::Age;
use serde::Serialize;
use store::{
    Store,
    keys::{Actor, audit},
};

use crate::target::Target;

/// Who acts, in the audit log.
const WHO: &str = "command line";

/// `cowriestream keys`
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = "Examples:
  cowriestream keys create --name admin --scopes admin
  cowriestream keys create --name grafana --scopes stats:read --sensors fra-1,nyc-1 --expires-in 90d
  cowriestream keys rotate AbCd1234 --overlap 7d
  cowriestream keys revoke AbCd1234

Scopes:
  stats:read      statistics, sessions, findings, events; passwords only in part
  secrets:read    passwords in full
  findings:write  triage of findings
  jobs:read       jobs, queues, workers, schedules
  jobs:submit     submit, cancel and retry jobs
  admin           everything, also keys, queues and schedules")]
pub struct Keys {
    #[command(flatten)]
    target: Target,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Create a key and print it; it is not shown again
    Create {
        /// For people and for the logs
        #[arg(long, value_name = "NAME")]
        name: String,
        /// What it may do
        #[arg(long, value_delimiter = ',', required = true, value_name = "SCOPE")]
        scopes: Vec<String>,
        /// The sensors whose data it may see; default: all
        #[arg(long, value_delimiter = ',', value_name = "SENSOR")]
        sensors: Vec<String>,
        /// After this time it expires: 30m, 24h, 7d, 4w; default: never
        #[arg(long, value_name = "DURATION")]
        expires_in: Option<Age>,
        /// Requests per day (UTC); default: any number
        #[arg(long, value_parser = clap::value_parser!(i64).range(1..), value_name = "N")]
        daily_quota: Option<i64>,
    },
    /// List keys, also revoked and expired ones
    List,
    /// Revoke a key: within 5 s no process accepts it
    Revoke {
        /// The part of the key after csk_
        id: String,
    },
    /// Create a key that replaces another one, which then expires
    Rotate {
        /// The part of the key after csk_
        id: String,
        /// How long the old key stays valid
        #[arg(long, default_value = "24h", value_name = "DURATION")]
        overlap: Age,
    },
    /// Show the audit log: key changes, job submissions, triage, denied requests; the newest first
    Audit {
        /// Show at most N lines
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=100_000), value_name = "N")]
        limit: i64,
    },
}

pub async fn run(args: Keys) -> anyhow::Result<()> {
    let Keys { target, json, command } = args;
    let store = Store::connect(&target.store()?).await?;
    store.check_schema().await?;
    let mut connection = store.connection().await?;
    let actor = Actor { who: WHO, from: None, at: boot::now() };
    match command {
        Command::Create { name, scopes, sensors, expires_in, daily_quota } => {
            let wish = Wish { name, scopes, sensors, expires_in, daily_quota };
            if let Err(problem) = wish.check() {
                anyhow::bail!("{}", problem.detail);
            }
            let created = access::create(&mut connection, &wish, actor).await?;
            show_created(&created, json)
        }
        Command::List => {
            let rows = store::keys::list(&mut connection).await?;
            let keys: Vec<_> = rows.into_iter().map(KeyView::from).collect();
            list(&keys, json)
        }
        Command::Revoke { id } => {
            let row = store::keys::revoke(&mut connection, plain(&id), actor).await?;
            let view = KeyView::from(row.with_context(|| format!("there is no key {id}"))?);
            match json {
                true => say_json(&view)?,
                false => boot::say!("revoked {} {}", view.id, view.name),
            }
            Ok(())
        }
        Command::Rotate { id, overlap } => {
            let overlap = TimeDelta::seconds(overlap.seconds());
            let created = access::rotate(&mut connection, plain(&id), overlap, actor).await?;
            let created =
                created.with_context(|| format!("there is no valid key {id} that was not rotated before"))?;
            show_created(&created, json)
        }
        Command::Audit { limit } => {
            let entries = audit::list(&mut connection, limit).await?;
            show_audit(&entries, json)
        }
    }
}

/// The id; people also give the beginning of a key.
fn plain(id: &str) -> &str {
    let id = id.strip_prefix("csk_").unwrap_or(id);
    id.split('_').next().unwrap_or(id)
}

fn show_created(created: &Created, json: bool) -> anyhow::Result<()> {
    if json {
        return say_json(created);
    }
    boot::say!("{}", created.key);
    boot::complain("Store this key: it is not shown again.");
    Ok(())
}

fn list(keys: &[KeyView], json: bool) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct KeyList<'a> {
        keys: &'a [KeyView],
    }
    if json {
        return say_json(&KeyList { keys });
    }
    for key in keys {
        let state = format!("{:?}", key.state).to_lowercase();
        let sensors = key.sensors.as_ref().map_or_else(|| "all sensors".into(), |names| names.join(","));
        boot::say!(
            "{} {state:<7} {:<20} {} | {sensors} | created {} | last used {} | expires {}",
            key.id,
            key.name,
            key.scopes.join(","),
            time(Some(key.created_at)),
            time(key.last_used_at),
            time(key.expires_at)
        );
    }
    boot::say!("{} keys", keys.len());
    Ok(())
}

fn show_audit(entries: &[audit::Entry], json: bool) -> anyhow::Result<()> {
    if json {
        return say_json(&entries);
    }
    for entry in entries {
        boot::say!(
            "{} {:<6} {} {} {} from {} {}",
            time(Some(entry.at)),
            entry.outcome,
            boot::safe(&entry.who),
            boot::safe(&entry.action),
            boot::safe(&entry.target),
            entry.from.as_deref().map_or_else(|| "here".into(), boot::safe),
            boot::safe(&entry.detail)
        );
    }
    Ok(())
}

fn time(at: Option<DateTime<Utc>>) -> String {
    at.map_or_else(|| "never".into(), |at| at.format("%Y-%m-%dT%H:%M:%SZ").to_string())
}

fn say_json(view: &impl Serialize) -> anyhow::Result<()> {
    boot::say!("{}", serde_json::to_string(view)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_id_is_read_from_a_whole_key_too() {
        for id in ["AbCd1234", "csk_AbCd1234", "csk_AbCd1234_rest"] {
            assert_eq!(super::plain(id), "AbCd1234");
        }
    }
}
