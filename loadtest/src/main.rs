//! The program `loadtest`.

use std::process::ExitCode;

use clap::Parser;
use loadtest::bench;

/// Measures the parts of cowriestream beside their bare limits.
#[derive(Parser)]
#[command(name = "loadtest", version)]
enum Command {
    /// Measure the parts beside their bare limits, in one run
    Bench(Box<bench::Args>),
}

#[tokio::main]
async fn main() -> ExitCode {
    let command = Command::parse();
    boot::run(|tasks| async {
        match command {
            Command::Bench(args) => bench::run(*args, tasks).await,
        }
    })
    .await
}
