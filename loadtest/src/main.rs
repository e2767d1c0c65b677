//! The program `loadtest`.

use std::process::ExitCode;

use clap::Parser;
use loadtest::{bench, generate};

/// Measures the parts of cowriestream beside their bare limits.
#[derive(Parser)]
#[command(name = "loadtest", version)]
enum Command {
    /// Measure the parts beside their bare limits, in one run
    Bench(Box<bench::Args>),
    /// Make Cowrie logs, as files or live
    Generate(Box<generate::Args>),
    /// Learn the profile of made logs from real ones: counts and quantiles
    Learn(generate::learn::Args),
}

#[tokio::main]
async fn main() -> ExitCode {
    let command = Command::parse();
    boot::run(|tasks| async {
        match command {
            Command::Bench(args) => bench::run(*args, tasks).await,
            Command::Generate(args) => generate::run(*args, tasks).await,
            Command::Learn(args) => generate::learn::run(&args),
        }
    })
    .await
}
