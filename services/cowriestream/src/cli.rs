//! The command line: what clap reads, and what docs/CONFIGURATION.md is generated from.

use boot::{HealthArgs, LogArgs};
use bus::{BusArgs, topology::TopologyArgs};
use clap::{Parser, Subcommand};
use store::StoreArgs;

use crate::{
    analyse, backfill, dead_letters, findings, jobs, keys, load, native, rules, status, tail, target::Target,
    up, verify,
};

/// The streaming pipeline for Cowrie SSH/Telnet honeypots: every event of every log in Postgres, exactly
/// once.
#[derive(Parser)]
#[command(
    name = "cowriestream",
    version,
    after_help = "Start here:
  cowriestream up --honeypot                     everything in one process, with private servers and a Cowrie to try
  cowriestream up --log /path/to/cowrie.json     the same with the log of your own Cowrie
  cowriestream tail                              events as they come, from another terminal
  cowriestream verify --log /path/to/cowrie.json count for yourself"
)]
pub struct Cli {
    #[command(flatten)]
    pub log: LogArgs,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Run everything in one process; without URLs, with private NATS, Postgres and Redis
    Up(Box<up::Args>),
    /// Run a loader: tail logs and publish every event
    Loader(Box<LoaderArgs>),
    /// Run a processor: write events from the streams into Postgres, exactly once
    Processor(Box<ProcessorArgs>),
    /// Run a coordinator: take jobs over gRPC and REST, mirror their status to Redis
    Coordinator(Box<CoordinatorArgs>),
    /// Run an mcp-api: serve statistics, sessions and findings over REST
    McpApi(Box<McpApiArgs>),
    /// Run a worker; or start, stop and show workers in the background
    Worker(Box<WorkerCommand>),
    /// Run one attempt of a job, for the worker that starts this process and hands it over
    #[command(hide = true)]
    Attempt,
    /// Submit, list, show, watch, cancel and retry jobs
    Jobs(jobs::Jobs),
    /// List, pause and resume queues
    Queues(jobs::Queues),
    /// List workers and which worker serves which queue; remove dead ones
    Workers(jobs::Workers),
    /// Create, list, revoke and rotate API keys, and show the audit log; straight in Postgres
    Keys(keys::Keys),
    /// List, create and delete schedules
    Schedules(jobs::Schedules),
    /// Analyse the database or log files at once, without a job: what is rare, or acts together
    Analyse(Box<analyse::Args>),
    /// List and show findings of live signals and analyses
    Findings(findings::Findings),
    /// Load old logs through the same path, with a progress bar
    Load(Box<load::Args>),
    /// Compute windows and features of events that were stored before these were defined, with a progress bar
    Backfill(backfill::Args),
    /// Create or update streams and consumers
    Provision(ProvisionArgs),
    /// Create or update the database schema
    Migrate(Target),
    /// Compare log files with the database by an independent recount
    Verify(verify::Args),
    /// Show events as they arrive
    Tail(Box<tail::Args>),
    /// Show the state of sensors, streams and lag
    Status(status::Args),
    /// Show the rules of live signals, or check a file of them
    Rules(rules::Args),
    /// List, show or replay lines that could not be used
    #[command(subcommand)]
    DeadLetters(dead_letters::Command),
}

impl Command {
    /// The service that traces name.
    pub fn role(&self) -> &'static str {
        match self {
            Self::Up(_) => "up",
            Self::Loader(_) => "loader",
            Self::Processor(_) => "processor",
            Self::Coordinator(_) => "coordinator",
            Self::McpApi(_) => "mcp-api",
            Self::Worker(_) => "worker",
            _ => "command",
        }
    }
}

#[derive(clap::Args)]
#[group(skip)]
pub struct LoaderArgs {
    #[command(flatten)]
    pub bus: BusArgs,
    #[command(flatten)]
    pub health: HealthArgs,
    #[command(flatten)]
    pub loader: loader::Args,
}

#[derive(clap::Args)]
#[group(skip)]
pub struct ProcessorArgs {
    #[command(flatten)]
    pub bus: BusArgs,
    #[command(flatten)]
    pub store: StoreArgs,
    #[command(flatten)]
    pub topology: TopologyArgs,
    #[command(flatten)]
    pub health: HealthArgs,
    #[command(flatten)]
    pub processor: processor::Args,
}

#[derive(clap::Args)]
#[group(skip)]
pub struct CoordinatorArgs {
    #[command(flatten)]
    pub bus: BusArgs,
    #[command(flatten)]
    pub store: StoreArgs,
    #[command(flatten)]
    pub topology: TopologyArgs,
    #[command(flatten)]
    pub health: HealthArgs,
    /// Redis that mirrors the status of jobs and shares the limits of keys among processes; without it there is no
    /// mirror, and each process has limits of its own
    #[arg(long, env = "REDIS_URL", value_name = "URL", hide_env_values = true)]
    pub redis_url: Option<String>,
    #[command(flatten)]
    pub access: access::Args,
    #[command(flatten)]
    pub coordinator: coordinator::Args,
}

#[derive(clap::Args)]
#[group(skip)]
pub struct McpApiArgs {
    #[command(flatten)]
    pub store: StoreArgs,
    #[command(flatten)]
    pub health: HealthArgs,
    /// Redis that shares the limits of keys among processes; without it each process has its own
    #[arg(long, env = "REDIS_URL", value_name = "URL", hide_env_values = true)]
    pub redis_url: Option<String>,
    #[command(flatten)]
    pub access: access::Args,
    #[command(flatten)]
    pub mcp_api: mcp_api::Args,
}

#[derive(clap::Args)]
#[group(skip)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  cowriestream worker                                              every queue, as many jobs as there are cores
  cowriestream worker --queues longtail,snowshoe --concurrency 8   only these queues
  cowriestream worker --profile io_bound
  cowriestream worker --config worker-config.yaml --name m4-ml-worker
  cowriestream worker start --queues longtail                      in the background, until `cowriestream worker stop`"
)]
pub struct WorkerCommand {
    #[command(subcommand)]
    pub native: Option<Native>,
    #[command(flatten)]
    pub here: WorkerArgs,
}

#[derive(Subcommand)]
pub enum Native {
    /// Start a worker in the background, with the settings that come after; returns when it is ready
    Start {
        #[command(flatten)]
        run_dir: native::RunDir,
        #[command(flatten)]
        worker: Box<WorkerArgs>,
    },
    /// Stop one: it finishes its jobs or hands them back
    Stop {
        #[command(flatten)]
        run_dir: native::RunDir,
        /// Its name; not needed when only one runs
        name: Option<String>,
        /// End it at once; its jobs go on elsewhere, from their checkpoints
        #[arg(long)]
        now: bool,
    },
    /// Show those that were started on this machine
    Status {
        #[command(flatten)]
        run_dir: native::RunDir,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(clap::Args)]
#[group(skip)]
pub struct WorkerArgs {
    #[command(flatten)]
    pub bus: BusArgs,
    #[command(flatten)]
    pub store: StoreArgs,
    #[command(flatten)]
    pub health: HealthArgs,
    #[command(flatten)]
    pub worker: worker::Args,
}

#[derive(clap::Args)]
#[group(skip)]
pub struct ProvisionArgs {
    #[command(flatten)]
    pub target: Target,
    #[command(flatten)]
    pub topology: TopologyArgs,
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use clap::{Arg, Command, CommandFactory};

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }

    /// The line in docs/CONFIGURATION.md after which everything is generated.
    const MARK: &str = "<!-- Generated from the program: COWRIESTREAM_UPDATE_SNAPSHOTS=1 cargo test -p cowriestream configuration -->";

    fn cell(text: &str) -> String {
        text.replace('|', "\\|").replace('\n', " ")
    }

    fn row(out: &mut String, arg: &Arg) {
        let flag = arg
            .get_long()
            .map_or_else(|| arg.get_id().to_string().to_uppercase(), |long| format!("--{long}"));
        let variable = arg.get_env().map(|name| format!("`{}`", name.to_string_lossy())).unwrap_or_default();
        let defaults: Vec<_> =
            arg.get_default_values().iter().map(|value| format!("`{}`", value.to_string_lossy())).collect();
        // These depend on the machine.
        let default = if arg.is_hide_default_value_set() { String::new() } else { defaults.join(", ") };
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        writeln!(out, "| `{flag}` | {variable} | {} | {} |", cell(&default), cell(&help)).unwrap();
    }

    fn table(out: &mut String, command: &Command, path: &str) {
        let args: Vec<_> =
            command.get_arguments().filter(|arg| !arg.is_hide_set() && !arg.is_global_set()).collect();
        if !args.is_empty() {
            writeln!(out, "\n### `{path}`\n\n| flag | variable | default | meaning |\n|---|---|---|---|")
                .unwrap();
            args.into_iter().for_each(|arg| row(out, arg));
        }
        for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
            table(out, inner, &format!("{path} {}", inner.get_name()));
        }
    }

    #[test]
    fn the_configuration_reference_is_generated_from_the_program() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/CONFIGURATION.md");
        let stored = std::fs::read_to_string(path).unwrap();
        let written_by_hand = stored.split(MARK).next().unwrap();
        let mut reference = String::new();
        table(&mut reference, &super::Cli::command(), "cowriestream");
        let now = format!("{written_by_hand}{MARK}\n{reference}");
        if std::env::var_os("COWRIESTREAM_UPDATE_SNAPSHOTS").is_some() {
            return std::fs::write(path, &now).unwrap();
        }
        let differs = now.lines().zip(stored.lines()).find(|(now, stored)| now != stored);
        assert!(
            now == stored,
            "docs/CONFIGURATION.md differs ({differs:?}): set COWRIESTREAM_UPDATE_SNAPSHOTS=1 to write it"
        );
    }
}
