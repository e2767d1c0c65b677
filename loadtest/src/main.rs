//! The program `loadtest`.

use std::process::ExitCode;

use boot::LogArgs;
use clap::{Parser, Subcommand};
use loadtest::bench;

/// Measures the parts of cowriestream beside their bare limits.
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
        }
    })
    .await
}
