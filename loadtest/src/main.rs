//! The program `loadtest`.

use std::process::ExitCode;

use boot::LogArgs;
use clap::{Parser, Subcommand};
use loadtest::{bench, generate, score, soak, speed};

/// A load and a yardstick: made Cowrie logs, and the parts of cowriestream beside their bare limits.
#[derive(Parser)]
#[command(name = "loadtest", version)]
struct Cli {
    #[command(flatten)]
    log: LogArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure the parts beside their bare limits, in one run
    Bench(Box<bench::Args>),
    /// Make Cowrie logs, as files or live
    Generate(Box<generate::Args>),
    /// Score the analyses on made logs in which campaigns and anomalies are planted
    Score(score::Args),
    /// Run a whole hub under live load while its parts are stopped at random, and check that nothing was lost
    Soak(soak::Args),
    /// Measure what the analyses take, beside scikit-learn
    Speed(speed::Args),
    /// Learn the profile of made logs from real ones: counts and quantiles
    Learn(generate::learn::Args),
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(error) = boot::log(&cli.log) {
        eprintln!("error: {error:#}");
        return ExitCode::FAILURE;
    }
    boot::run(|tasks| async {
        match cli.command {
            Command::Bench(args) => bench::run(*args, tasks).await,
            Command::Generate(args) => generate::run(*args, tasks).await,
            Command::Score(args) => score::run(&args),
            Command::Soak(args) => soak::run(args, tasks).await,
            Command::Speed(args) => speed::run(args, tasks).await,
            Command::Learn(args) => generate::learn::run(&args),
        }
    })
    .await
}
