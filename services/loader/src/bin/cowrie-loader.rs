//! The loader as a separate program, small enough for an edge device.

use std::process::ExitCode;

use boot::{Health, HealthArgs, LogArgs, Tasks};
use bus::{Bus, BusArgs};
use clap::Parser;

/// Tails Cowrie logs and publishes every event to NATS JetStream. An event counts as delivered only when
/// Postgres has it.
#[derive(Parser)]
#[command(
    name = "cowrie-loader",
    version,
    after_help = "Example:
  cowrie-loader --sensor fra-1 --log /srv/cowrie/var/log/cowrie/cowrie.json --nats-url nats://hub.example:4222"
)]
struct Cli {
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    bus: BusArgs,
    #[command(flatten)]
    health: HealthArgs,
    #[command(flatten)]
    loader: loader::Args,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    boot::raise_descriptor_limit();
    let cli = match boot::adopt_secret_files() {
        Ok(()) => Cli::try_parse(),
        Err(error) => return boot::failed(&error),
    };
    let cli = match cli {
        Ok(cli) => cli,
        Err(help) => return boot::explained(help.exit_code(), help.print()),
    };
    match boot::log(&cli.log).map(|()| cli) {
        Ok(cli) => boot::run(|tasks| run(cli, tasks)).await,
        Err(error) => boot::failed(&error),
    }
}

async fn run(cli: Cli, tasks: Tasks) -> anyhow::Result<()> {
    let bus = Bus::connect(&cli.bus, "loader").await?;
    let health = Health::default();
    let connected = bus.clone();
    health.needs("broker", move || connected.connected());
    health.serve(&cli.health, &tasks).await?;
    let loader = loader::Loader::start(&cli.loader, &bus, &tasks).await?;
    loader.report_to(&health);
    let statistics = loader.statistics.clone();
    if !loader.finish().await? && cli.loader.once {
        anyhow::bail!("stopped before everything was committed");
    }
    if cli.loader.once {
        boot::say!("{}", serde_json::to_string(&loader::Loader::summary(&statistics))?);
        loader::Loader::check_files(&statistics)?;
    }
    Ok(())
}
