//! `findings`: the findings of live rules and analyses.

use anyhow::{Context as _, bail};
use chrono::{DateTime, Utc};
use findings::{Kind, Severity};
use serde_json::json;
use store::{
    Store,
    findings::{FindingFilter, StoredFinding},
};

use crate::{analyse::evidence, since::Since, target::Target};

/// Most sessions that `show` prints.
const MOST_SESSIONS: i64 = 20;

/// `cowriestream findings`
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = "Examples:
  cowriestream findings list --since 24h --severity high,critical
  cowriestream findings list --kind snowshoe,botnet --json
  cowriestream findings show 3f2a91c0")]
pub struct Findings {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List findings, newest first
    List {
        /// Only of these kinds: signal, longtail, snowshoe, botnet
        #[arg(long, value_delimiter = ',', value_name = "KIND")]
        kind: Vec<Kind>,
        /// Only of these severities: info, low, medium, high, critical
        #[arg(long, value_delimiter = ',', value_name = "SEVERITY")]
        severity: Vec<Severity>,
        /// Only findings that are new or changed since this long ago (30m, 24h, 7d, 4w), or this
        /// time
        #[arg(long, value_name = "AGE|TIME")]
        since: Option<Since>,
        /// At most this many
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=100_000), value_name = "N")]
        limit: i64,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// The running system
        #[command(flatten)]
        target: Box<Target>,
    },
    /// Show one: its evidence, and the first of its sessions
    Show {
        /// Its id; the first characters do
        id: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// The running system
        #[command(flatten)]
        target: Box<Target>,
    },
}

pub async fn run(args: Findings) -> anyhow::Result<()> {
    match args.command {
        Command::List { kind, severity, since, limit, json, target } => {
            let since = since.and_then(|since| DateTime::<Utc>::from_timestamp_micros(since.before_now()));
            let mut connection = Store::connect(&target.store()?).await?.connection().await?;
            let found = store::findings::list(
                &mut connection,
                &FindingFilter { kinds: kind, severities: severity, since },
                limit,
            )
            .await?;
            list(&found, json)
        }
        Command::Show { id, json, target } => show(&id, json, &target).await,
    }
}

fn list(found: &[StoredFinding], json: bool) -> anyhow::Result<()> {
    if json {
        boot::say!("{}", boot::ascii(&serde_json::to_string(found)?));
        return Ok(());
    }
    boot::say!(
        "{:<8}  {:<16}  {:<8}  {:<8}  {:>4}  {:>8}  WHAT",
        "FINDING",
        "UPDATED",
        "KIND",
        "SEVERITY",
        "SURE",
        "SESSIONS"
    );
    for finding in found {
        let id = finding.finding_id.to_string();
        let sure = finding.confidence.map_or(String::new(), |confidence| format!("{confidence:.2}"));
        boot::say!(
            "{}  {}  {:<8}  {:<8}  {sure:>4}  {:>8}  {}",
            id.get(..8).unwrap_or_default(),
            finding.updated_at.format("%Y-%m-%d %H:%M"),
            boot::safe(&finding.kind),
            boot::safe(&finding.severity),
            finding.session_count,
            boot::safe_up_to(&finding.title, 120)
        );
    }
    Ok(())
}

async fn show(id: &str, json: bool, target: &Target) -> anyhow::Result<()> {
    let mut connection = Store::connect(&target.store()?).await?.connection().await?;
    let mut found = store::findings::starting_with(&mut connection, id, MOST_SESSIONS).await?;
    let (finding, sessions) = found.pop().with_context(|| format!("no finding {id}"))?;
    if !found.is_empty() {
        bail!("several findings begin with {id}");
    }
    if json {
        let sessions: Vec<_> = sessions
            .iter()
            .map(|(sensor, session)| json!({ "sensor": sensor, "session": session }))
            .collect();
        boot::say!("{}", boot::ascii(&json!({ "finding": finding, "sessions": sessions }).to_string()));
        return Ok(());
    }
    let time = |at: DateTime<Utc>| at.format("%Y-%m-%d %H:%M:%S UTC").to_string();
    let mut lines = vec![
        ("finding", finding.finding_id.to_string()),
        ("kind", finding.kind.clone()),
        ("rule", finding.rule.clone()),
        ("severity", finding.severity.clone()),
        ("sure", finding.confidence.map_or(String::new(), |confidence| format!("{confidence:.2}"))),
        ("what", finding.title.clone()),
        ("sensor", finding.sensor.clone().unwrap_or_default()),
        ("key", finding.key.clone()),
        ("first", finding.first_seen.map_or(String::new(), time)),
        ("last", finding.last_seen.map_or(String::new(), time)),
        ("revision", format!("{} of {}", finding.revision, time(finding.updated_at))),
        ("sources", finding.sources.join(", ")),
    ];
    let names: Vec<_> = sessions.iter().map(|(sensor, session)| format!("{sensor}/{session}")).collect();
    lines.push((
        "sessions",
        if names.is_empty() {
            String::new()
        } else {
            format!("{} ({})", names.join(", "), finding.session_count)
        },
    ));
    for (name, value) in lines.iter().filter(|(_, value)| !value.is_empty()) {
        boot::say!("{name:<8}  {}", boot::safe_up_to(value, 1_000));
    }
    evidence(&finding.evidence).iter().for_each(|line| boot::say!("{line}"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        findings: Findings,
    }

    #[test]
    fn a_kind_severity_or_age_that_does_not_exist_is_refused() {
        let parse = |arguments: &str| Line::try_parse_from(format!("test list {arguments}").split(' '));
        assert!(parse("--kind signal,botnet --severity high,critical --since 4w").is_ok());
        for (bad, flag, expected) in [
            ("--severity hgih", "--severity", "info, low, medium, high, critical"),
            ("--severity high,hgih", "--severity", "info, low, medium, high, critical"),
            ("--kind xyz", "--kind", "signal, longtail, snowshoe, botnet"),
            ("--since 7y", "--since", "90s, 30m, 24h, 7d or 4w"),
        ] {
            let error = parse(bad).unwrap_err();
            let said = error.to_string();
            assert_eq!(error.exit_code(), 2, "{bad}");
            assert!(said.contains(flag) && said.contains(expected), "{bad}: {said}");
        }
    }
}
