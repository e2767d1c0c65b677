//! The program `cowriestream`.

use std::process::ExitCode;

use boot::{Health, HealthArgs, LogArgs, Tasks, interruptible};
use bus::{Bus, BusArgs, topology::TopologyArgs};
use clap::{Parser, Subcommand};
use cowriestream::{
    analyse, backfill, dead_letters, findings, jobs, load, native, ready, rules, status, tail,
    target::Target, up, verify,
};
use store::{Store, StoreArgs};

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
struct Cli {
    #[command(flatten)]
    log: LogArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run everything in one process; without URLs, with private NATS, Postgres and Redis
    Up(Box<up::Args>),
    /// Run a loader: tail logs and publish every event
    Loader(Box<LoaderArgs>),
    /// Run a processor: write events from the streams into Postgres, exactly once
    Processor(Box<ProcessorArgs>),
    /// Run a coordinator: take jobs over gRPC and REST, mirror their status to Redis
    Coordinator(Box<CoordinatorArgs>),
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

#[derive(clap::Args)]
#[group(skip)]
struct LoaderArgs {
    #[command(flatten)]
    bus: BusArgs,
    #[command(flatten)]
    health: HealthArgs,
    #[command(flatten)]
    loader: loader::Args,
}

#[derive(clap::Args)]
#[group(skip)]
struct ProcessorArgs {
    #[command(flatten)]
    bus: BusArgs,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    topology: TopologyArgs,
    #[command(flatten)]
    health: HealthArgs,
    #[command(flatten)]
    processor: processor::Args,
}

#[derive(clap::Args)]
#[group(skip)]
struct CoordinatorArgs {
    #[command(flatten)]
    bus: BusArgs,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    topology: TopologyArgs,
    #[command(flatten)]
    health: HealthArgs,
    /// Redis that mirrors the status of jobs; without it there is no mirror
    #[arg(long, env = "REDIS_URL", value_name = "URL", hide_env_values = true)]
    redis_url: Option<String>,
    #[command(flatten)]
    coordinator: coordinator::Args,
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
struct WorkerCommand {
    #[command(subcommand)]
    native: Option<Native>,
    #[command(flatten)]
    here: WorkerArgs,
}

#[derive(Subcommand)]
enum Native {
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
struct WorkerArgs {
    #[command(flatten)]
    bus: BusArgs,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    health: HealthArgs,
    #[command(flatten)]
    worker: worker::Args,
}

#[derive(clap::Args)]
#[group(skip)]
struct ProvisionArgs {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    topology: TopologyArgs,
}

#[tokio::main]
async fn main() -> ExitCode {
    boot::raise_descriptor_limit();
    let cli = match boot::adopt_secret_files() {
        Ok(()) => Cli::try_parse(),
        Err(error) => return verified(Err(error)),
    };
    let cli = match cli {
        Ok(cli) => cli,
        Err(help) => return boot::explained(help.exit_code(), help.print()),
    };
    let prepared = boot::log(&cli.log)
        .map(|()| cli)
        .and_then(|cli| boot::export_traces(role(&cli.command)).map(|()| cli));
    match prepared {
        Ok(Cli { command: Command::Verify(args), .. }) => verified(verify::run(args).await),
        Ok(cli) => boot::run(|tasks| run(cli.command, tasks)).await,
        Err(error) => verified(Err(error)),
    }
}

/// What its traces are from.
fn role(command: &Command) -> &'static str {
    match command {
        Command::Up(_) => "up",
        Command::Loader(_) => "loader",
        Command::Processor(_) => "processor",
        Command::Coordinator(_) => "coordinator",
        Command::Worker(_) => "worker",
        _ => "command",
    }
}

/// 0 when everything agrees, 1 when not, 2 when it could not be found out.
fn verified(outcome: anyhow::Result<bool>) -> ExitCode {
    match outcome.and_then(|agrees| boot::finish().map(|()| agrees)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            boot::failed(&error);
            ExitCode::from(2)
        }
    }
}

async fn run(command: Command, tasks: Tasks) -> anyhow::Result<()> {
    match command {
        Command::Up(args) => up::run(*args, tasks).await,
        Command::Loader(args) => run_loader(*args, tasks).await,
        Command::Processor(args) => run_processor(*args, tasks).await,
        Command::Coordinator(args) => run_coordinator(*args, tasks).await,
        Command::Worker(args) => worker(*args, tasks).await,
        Command::Attempt => worker::attempt(tasks).await,
        Command::Jobs(args) => interruptible(&tasks, jobs::jobs(args)).await,
        Command::Queues(args) => interruptible(&tasks, jobs::queues(args)).await,
        Command::Workers(args) => interruptible(&tasks, jobs::workers(args)).await,
        Command::Schedules(args) => interruptible(&tasks, jobs::schedules(args)).await,
        Command::Analyse(args) => analyse::run(*args, tasks).await,
        Command::Findings(args) => interruptible(&tasks, findings::run(args)).await,
        Command::Load(args) => load::run(*args, tasks).await,
        Command::Backfill(args) => backfill::run(args, tasks.stop()).await,
        Command::Provision(args) => {
            Bus::connect(&args.target.bus()?, "provision").await?.provision(&args.topology).await
        }
        Command::Migrate(target) => Store::connect(&target.store()?).await?.migrate().await,
        Command::Verify(_) => Ok(()),
        Command::Tail(args) => tail::run(*args, tasks.stop()).await,
        Command::Status(args) => interruptible(&tasks, status::run(args)).await,
        Command::Rules(args) => rules::run(&args),
        Command::DeadLetters(command) => interruptible(&tasks, dead_letters::run(command)).await,
    }
}

async fn run_loader(args: LoaderArgs, tasks: Tasks) -> anyhow::Result<()> {
    let bus = Bus::connect(&args.bus, "loader").await?;
    let health = Health::default();
    let connected = bus.clone();
    health.needs("broker", move || connected.connected());
    health.serve(&args.health, &tasks).await?;
    let loader = loader::Loader::start(&args.loader, &bus, &tasks).await?;
    loader.report_to(&health);
    let statistics = loader.statistics.clone();
    let finished = loader.finish().await?;
    if args.loader.once {
        anyhow::ensure!(finished, "stopped before everything was committed");
        boot::say!("{}", serde_json::to_string(&loader::Loader::summary(&statistics))?);
        loader::Loader::check_files(&statistics)?;
    }
    Ok(())
}

async fn run_processor(args: ProcessorArgs, tasks: Tasks) -> anyhow::Result<()> {
    let bus = Bus::connect(&args.bus, "processor").await?;
    let store = Store::connect(&args.store).await?;
    store.check_schema().await?;
    bus.provision(&args.topology).await?;
    let health = Health::default();
    ready::probe_servers(&health, &bus, &store, &tasks);
    health.serve(&args.health, &tasks).await?;
    processor::start(&args.processor, &args.topology, bus, store, &health, &tasks).await?;
    tasks.stop().cancelled().await;
    Ok(())
}

async fn run_coordinator(args: CoordinatorArgs, tasks: Tasks) -> anyhow::Result<()> {
    let bus = Bus::connect(&args.bus, "coordinator").await?;
    let store = Store::connect(&args.store).await?;
    store.check_schema().await?;
    bus.provision(&args.topology).await?;
    let health = Health::default();
    ready::probe_servers(&health, &bus, &store, &tasks);
    health.serve(&args.health, &tasks).await?;
    let listening = coordinator::start(
        &args.coordinator,
        args.redis_url.as_deref(),
        &args.topology,
        bus,
        store,
        &health,
        &tasks,
    )
    .await?;
    tracing::info!(rest = %listening.rest, grpc = %listening.grpc, "coordinator ready");
    tasks.stop().cancelled().await;
    Ok(())
}

async fn worker(args: WorkerCommand, tasks: Tasks) -> anyhow::Result<()> {
    match args.native {
        None => run_worker(args.here, tasks).await,
        Some(Native::Start { run_dir, worker }) => {
            native::start(&run_dir, &worker::name(&worker.worker)?).await
        }
        Some(Native::Stop { run_dir, name, now }) => native::stop(&run_dir, name.as_deref(), now).await,
        Some(Native::Status { run_dir, json }) => native::status(&run_dir, json),
    }
}

async fn run_worker(args: WorkerArgs, tasks: Tasks) -> anyhow::Result<()> {
    worker::name(&args.worker)?;
    native::hold()?;
    let bus = Bus::connect(&args.bus, "worker").await?;
    let store = Store::connect(&args.store).await?;
    let health = Health::default();
    ready::probe_servers(&health, &bus, &store, &tasks);
    health.serve(&args.health, &tasks).await?;
    let spec = worker::start(&args.worker, bus, store, &health, &tasks).await?;
    tracing::info!(name = spec.name, concurrency = spec.concurrency, "worker ready");
    native::ready()?;
    tasks.stop().cancelled().await;
    Ok(())
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
