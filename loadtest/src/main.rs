//! The program `loadtest`.

use std::process::ExitCode;

use boot::LogArgs;
use clap::{Parser, Subcommand};
use loadtest::{bench, generate, score, soak, speed};

/// A load generator and benchmark: generates Cowrie logs, and measures each part of cowriestream beside its
/// bare limit.
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
    /// Measure each part beside its bare limit, in one run
    Bench(Box<bench::Args>),
    /// Generate Cowrie logs, as files or live
    Generate(Box<generate::Args>),
    /// Score the analyses on generated logs with planted campaigns and anomalies
    Score(score::Args),
    /// Run a whole hub under live load, stop its parts at random, and check that nothing was lost
    Soak(soak::Args),
    /// Measure time and memory of the analyses, beside scikit-learn
    Speed(speed::Args),
    /// Learn the profile of generated logs from real ones: counts and quantiles
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
